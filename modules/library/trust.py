"""Find what in a model's files could run code, and compute the fingerprint to which a consent is bound."""

from __future__ import annotations

import hashlib
from pathlib import Path

from modules.library.folder import PICKLE_SUFFIXES, ModelFolder, join_names, list_folder
from modules.library.model_code import ModelCode, files_below, find_code
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts

# Files that a consent to run code covers, at any depth. Of pickles it covers those that a load would read.
_CONSENTED = (".py", ".pyc", ".so", ".pyd", ".json")


def scan_trust(facts: ModelFacts) -> list[str]:
    """Return sentences about everything that could run code: pickles, modules named by a configuration, other code."""
    folder = _folder(facts)
    if not folder:
        return []
    try:
        code = find_code(folder.path)
        below = [name for name in files_below(folder.path) if "/" in name and name.lower().endswith(PICKLE_SUFFIXES)]
    except (OSError, ModelError) as error:
        return [str(error)]
    sentences = []
    if pickles := [*folder.pickled_weights, *folder.other_pickles, *below]:
        use = "They would be loaded." if _loads_pickles(facts, folder) else "They are not loaded."
        sentences.append(f"Pickles can run any code when they are loaded: {join_names(pickles)}. {use}")
    if code.asked:
        sentences.append(f"The model asks to run its own code: {join_names(code.asked)}.")
    if code.spare:
        sentences.append(
            f"The model contains code that is not needed ({join_names(code.spare)}), since Transformers has its own "
            "for this architecture. It is not run."
        )
    for repository, file in code.elsewhere:
        sentences.append(f"The code in {file} is not in this folder but in another repository, {repository}.")
    sentences += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in code.paths]
    if code.flags:
        sentences.append(
            f"{join_names(code.flags)} sets trust_remote_code, which trusts code of the model. Only you can decide "
            "that, so it is ignored."
        )
    if code.unread:
        sentences.append(f"These files may ask for code, but cannot be read: {join_names(code.unread)}.")
    named = {module.rpartition("--")[2] for module in (*code.asked, *code.spare)}
    # Scripts in inner folders usually made the model. No engine looks for modules there.
    others = [name for name in code.python if name not in named and ("/" not in name or not name.endswith(".py"))]
    if others:
        sentences.append(f"There are code files that nothing asks for and nothing runs: {join_names(others)}.")
    return sentences


def missing_consent(facts: ModelFacts, allow_pickle: bool, allow_code: bool) -> str:
    """Return "" if the model may be loaded with these consents, else what it needs and how to consent."""
    folder = _folder(facts)
    if not folder:
        return ""
    if _loads_pickles(facts, folder) and not allow_pickle:
        return (
            f"The weights of {facts.name} are pickles ({join_names(folder.pickled_weights)}), which can run any code "
            "when they are loaded. Get a safetensors or GGUF version. Or, if you trust the author of the files, start "
            f"Paddock again with --trust-pickle {_quoted(facts.name)}."
        )
    try:
        code = find_code(folder.path)
    except (OSError, ModelError) as error:
        return str(error)
    return _elsewhere(facts, code, folder) if allow_code else _without_consent(facts, code)


def _without_consent(facts: ModelFacts, code: ModelCode) -> str:
    flag = f"start Paddock again with --trust-remote-code {_quoted(facts.name)}"
    if code.asked:
        place = f" Some of it is in another repository, {code.elsewhere[0][0]}." if code.elsewhere else ""
        return (
            f"{facts.name} asks to run its own code when it is loaded ({join_names(code.asked)}).{place} Read it "
            f"first. If you trust it, {flag}."
        )
    if code.paths:
        return (
            f"The configuration of {facts.name} leads to code: {code.paths[0]}. Malicious models hide code in this "
            f"way. Read it first. If you trust it, {flag}. Otherwise choose another model."
        )
    if code.unread:
        return (
            f"{code.unread[0]} of {facts.name} may ask for code, but cannot be read. Download it again. Or, if you "
            f"trust the model, {flag}."
        )
    return ""


def _elsewhere(facts: ModelFacts, code: ModelCode, folder: ModelFolder) -> str:
    """Return why code in another repository keeps the model from loading. Transformers would download it."""
    if not code.elsewhere:
        return ""
    repository, file = code.elsewhere[0]
    first = (
        f"{file} is already in the folder. Compare it with the file of that repository"
        if file in folder.files
        else f"Download {file} from {repository} into the model's folder and read it"
    )
    native = " Or start Paddock without this consent, which the model does not need." if not code.asked else ""
    return (
        f"{facts.name} takes its code from another repository, {repository}, and Paddock downloads no code. {first}, "
        f'then delete "{repository}--" in the auto_map of the folder\'s configuration.{native}'
    )


def fingerprint(path: Path) -> str:
    """Return the SHA-256 (hex) of everything that a consent covers: pickles, code and configurations, with names.

    Code and configurations count at any depth. Pickles are read completely. Raises ModelError.
    """
    digest = hashlib.sha256()
    try:
        folder = list_folder(path) if path.is_dir() else None
        names = [] if folder is None else [n for n in files_below(path) if n.lower().endswith(_CONSENTED)]
        for name in sorted({*names, *(folder.files_ending(*PICKLE_SUFFIXES) if folder else [])}):
            digest.update(f"{len(name.encode(errors='surrogateescape'))}:{name}".encode(errors="surrogateescape"))
            digest.update(_hash(path / name))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}). Check its permissions.") from error
    return digest.hexdigest()


def _hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _folder(facts: ModelFacts) -> ModelFolder | None:
    """Return the model's folder; None for a single file, which is a GGUF file and runs no code."""
    try:
        return list_folder(Path(facts.path))
    except OSError:
        return None


def _loads_pickles(facts: ModelFacts, folder: ModelFolder) -> bool:
    return facts.format != "gguf" and bool(folder.pickled_weights) and not folder.safetensors


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
