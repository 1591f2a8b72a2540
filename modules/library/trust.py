"""What in a model's files could run code, and a fingerprint that binds the owner's consent to these very files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from modules.library.folder import PICKLES, Folder, listed, look
from modules.library.json_files import read_object
from modules.library.model_config import asks_for_code
from modules.protocol.errors import ModelError
from modules.protocol.model import ModelFacts

_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


def scan_trust(facts: ModelFacts) -> list[str]:
    """Sentences about all that could run code: pickles, modules that a configuration asks for, other Python files."""
    folder = _folder(facts)
    if not folder:
        return []
    sentences = []
    if pickles := [*folder.pickled_weights, *folder.other_pickles]:
        fate = "They are what would be loaded." if _loads_pickles(facts, folder) else "They are not loaded."
        sentences.append(f"Pickles can run any code when they are loaded: {listed(pickles)}. {fate}")
    code = _code(folder)
    if code:
        sentences.append(f"The model asks to run its own code: {listed(code)}.")
    if others := [name for name in folder.ending(".py") if name not in code]:
        sentences.append(f"There are Python files that nothing asks for and nothing runs: {listed(others)}.")
    return sentences


def refusal(facts: ModelFacts, allow_pickle: bool, allow_code: bool) -> str:
    """ "" if the model may be loaded with these consents, else a sentence: what it needs, and how to consent."""
    folder = _folder(facts)
    if not folder:
        return ""
    if _loads_pickles(facts, folder) and not allow_pickle:
        return (
            f"The weights of {facts.name} are pickles ({listed(folder.pickled_weights)}), which can run any code when "
            "they are loaded. Get a safetensors or GGUF version; or, if you trust whoever made the files, start "
            f"Paddock again with --trust-pickle {_quoted(facts.name)}."
        )
    if (code := _code(folder)) and not allow_code:
        return (
            f"{facts.name} asks to run its own code when it is loaded ({listed(code)}). Read it first; if you trust "
            f"it, start Paddock again with --trust-remote-code {_quoted(facts.name)}."
        )
    return ""


def fingerprint(path: Path) -> str:
    """SHA-256 (hex) of what a consent is about: the model's pickles, Python files and configurations, names included.

    A model without any of them has the fingerprint of nothing. Pickles are read whole. Raises ModelError.
    """
    digest = hashlib.sha256()
    try:
        folder = look(path) if path.is_dir() else None
        names = folder.ending(".py", ".json", *PICKLES) if folder else []
        for name in names:
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


def _folder(facts: ModelFacts) -> Folder | None:
    """The model's folder; None for a single file, which is a GGUF and runs no code."""
    try:
        return look(Path(facts.path))
    except OSError:
        return None


def _loads_pickles(facts: ModelFacts, folder: Folder) -> bool:
    return facts.format != "gguf" and bool(folder.pickled_weights) and not folder.safetensors


def _code(folder: Folder) -> list[str]:
    found = []
    for name in _CONFIGS:
        try:
            found.append(read_object(folder.path / name))
        except ModelError:
            continue
    return asks_for_code(*found)


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
