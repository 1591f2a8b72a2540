"""What in a model's files could run code, and a fingerprint that binds the owner's consent to these very files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from modules.library.folder import PICKLE_SUFFIXES, ModelFolder, join_names, list_folder
from modules.library.model_code import ModelCode, files_below, find_code
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts

# What a consent to run code is about, at any depth; of pickles those that a load would read.
_CONSENTED = (".py", ".pyc", ".so", ".pyd", ".json")


def scan_trust(facts: ModelFacts) -> list[str]:
    """Sentences about all that could run code: pickles, modules that a configuration asks for, other code."""
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
        fate = "They are what would be loaded." if _loads_pickles(facts, folder) else "They are not loaded."
        sentences.append(f"Pickles can run any code when they are loaded: {join_names(pickles)}. {fate}")
    if code.asked:
        sentences.append(f"The model asks to run its own code: {join_names(code.asked)}.")
    if code.spare:
        sentences.append(
            f"The model brings code that nothing needs ({join_names(code.spare)}): Transformers has its own for this "
            "architecture. It is not run."
        )
    for repository, file in code.elsewhere:
        sentences.append(f"The code in {file} is not in this folder but in another repository, {repository}.")
    sentences += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in code.paths]
    if code.flags:
        sentences.append(
            f"{join_names(code.flags)} asks to trust code that comes with a model (trust_remote_code). Only you can do "
            "that, so it is ignored."
        )
    if code.unread:
        sentences.append(f"These files may ask for code, and cannot be read: {join_names(code.unread)}.")
    named = {module.rpartition("--")[2] for module in (*code.asked, *code.spare)}
    # Scripts in inner folders are how a model was made; no engine looks for modules there.
    others = [name for name in code.python if name not in named and ("/" not in name or not name.endswith(".py"))]
    if others:
        sentences.append(f"There are files of code that nothing asks for and nothing runs: {join_names(others)}.")
    return sentences


def missing_consent(facts: ModelFacts, allow_pickle: bool, allow_code: bool) -> str:
    """ "" if the model may be loaded with these consents, else a sentence: what it needs, and how to consent."""
    folder = _folder(facts)
    if not folder:
        return ""
    if _loads_pickles(facts, folder) and not allow_pickle:
        return (
            f"The weights of {facts.name} are pickles ({join_names(folder.pickled_weights)}), which can run any code "
            "when they are loaded. Get a safetensors or GGUF version; or, if you trust whoever made the files, start "
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
        place = f" Some of it lies in another repository, {code.elsewhere[0][0]}." if code.elsewhere else ""
        return (
            f"{facts.name} asks to run its own code when it is loaded ({join_names(code.asked)}).{place} Read it "
            f"first; if you trust it, {flag}."
        )
    if code.paths:
        return (
            f"{facts.name} leads to code through its configuration: {code.paths[0]}. That is how hostile models hide "
            f"code. Read it first; if you trust it, {flag}, or choose another model."
        )
    if code.unread:
        return (
            f"{code.unread[0]} of {facts.name} may ask for code, and cannot be read. Download it again; or, if you "
            f"trust the model, {flag}."
        )
    return ""


def _elsewhere(facts: ModelFacts, code: ModelCode, folder: ModelFolder) -> str:
    """Transformers would fetch such code from the hub, which nothing here asks."""
    if not code.elsewhere:
        return ""
    repository, file = code.elsewhere[0]
    first = (
        f"{file} is in the folder already: compare it with that repository's"
        if file in folder.files
        else f"Download {file} from {repository} into the model's folder and read it"
    )
    native = " Or start Paddock without consent for this model, which needs none." if not code.asked else ""
    return (
        f"{facts.name} takes its code from another repository, {repository}, and Paddock fetches no code. {first}, "
        f'then delete "{repository}--" in the auto_map of the folder\'s configuration.{native}'
    )


def fingerprint(path: Path) -> str:
    """SHA-256 (hex) of what a consent is about: the model's pickles, code and configurations, names included.

    Code and configurations count at any depth. A model without any of them has the fingerprint of nothing. Pickles are
    read whole. Raises ModelError.
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
    """The model's folder; None for a single file, which is a GGUF and runs no code."""
    try:
        return list_folder(Path(facts.path))
    except OSError:
        return None


def _loads_pickles(facts: ModelFacts, folder: ModelFolder) -> bool:
    return facts.format != "gguf" and bool(folder.pickled_weights) and not folder.safetensors


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
