"""Find out what a model on disk is, and from which evidence: file names, configuration, headers. No tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modules.families.remote_file import SUFFIXES
from modules.families.template_file import find_template
from modules.library.detect_gguf import detect_gguf
from modules.library.detect_quantization import note_quantization
from modules.library.detect_remote import detect_remote
from modules.library.detect_weights import note_weights
from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder, join_names, list_folder
from modules.library.json_files import positive_int, read_object_or_note
from modules.library.missing_parts import note_missing_parts
from modules.library.model_config import read_config
from modules.library.projectors import note_projectors
from modules.library.purpose import read_purpose
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts


def detect(path: Path, name: str) -> ModelFacts:
    """Return the facts of the model at `path`, a folder or a file. `name` is its name below models/.

    What is wrong with the files is in `problems`. Raises ModelError if nothing at `path` can be read.
    """
    try:
        if path.is_dir():
            return _detect_folder(list_folder(path), name)
        if not path.is_file():
            raise ModelError(f"There is no model at {name}. Press refresh, or look into {path.parent}.")
        found = FactsBuilder(name, str(path))
        if path.suffix.lower() == ".gguf":
            detect_gguf(path, found)
            note_projectors(list_folder(path.parent), path.name, found)
        elif path.name.lower().endswith(SUFFIXES):
            detect_remote(path, found)
        else:
            found.problems.append(
                f"{path.name} is neither a GGUF file nor a model folder. Put the model's whole folder into "
                f"{path.parent}."
            )
        return found.build()
    except OSError as error:
        raise ModelError(f"{name} cannot be read ({error.strerror}). Check its permissions.") from error


def _detect_folder(folder: ModelFolder, name: str) -> ModelFacts:
    weights = folder.safetensors or folder.pickled_weights
    if folder.ggufs and not weights:
        return _detect_gguf_folder(folder, name)
    found = FactsBuilder(name, str(folder.path))
    config = read_object_or_note(folder.path / "config.json", found.problems)
    tokenizer = read_object_or_note(folder.path / "tokenizer_config.json", found.problems)
    read_config(config, found)
    found.add_default("context", _tokenizer_length(tokenizer), "tokenizer_config.json: model_max_length")
    if config and weights and not folder.is_adapter:
        read_purpose(folder, config, found)
        _note_template(folder, found)
    note_weights(folder, note_quantization(folder, config, found), found)
    note_missing_parts(folder, name, found)
    return found.build()


def _detect_gguf_folder(folder: ModelFolder, name: str) -> ModelFacts:
    if len(folder.ggufs) == 1:
        path = folder.path / folder.ggufs[0]
        found = FactsBuilder(name, str(path))
        detect_gguf(path, found)
        note_projectors(folder, folder.ggufs[0], found)
        return found.build()
    found = FactsBuilder(name, str(folder.path))
    found.add("format", "gguf", f"file names: {join_names(folder.ggufs)}")
    names = [f"{name.rstrip('/')}/{file}" for file in folder.ggufs]
    found.problems.append(f"The folder holds {len(names)} GGUF models. Choose one: {join_names(names, most=10)}.")
    return found.build()


def _tokenizer_length(tokenizer: Mapping[str, object]) -> int:
    length = positive_int(tokenizer.get("model_max_length"))
    return length if length < 100_000_000 else 0  # "no limit" is written as 10^30


def _note_template(folder: ModelFolder, found: FactsBuilder) -> None:
    if source := find_template(folder.path).source:
        found.add(
            "template", source, f"file name: {source}" if "chat_template" in source else f"{source}: chat_template"
        )
    elif found.get("purpose", "generate") == "generate":
        found.warnings.append(
            "The folder has no chat template. A general one is used, which may lower the quality of replies."
        )
