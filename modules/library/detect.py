"""What a model on disk is, and from which evidence: file names, configuration, headers. No tensor is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modules.families.remote_file import SUFFIXES
from modules.families.template_file import find_template
from modules.library import safetensors
from modules.library.detect_gguf import detect_gguf
from modules.library.detect_remote import detect_remote
from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder, join_names, list_folder
from modules.library.json_files import as_object, positive_int, read_object
from modules.library.model_config import read_config
from modules.library.purpose import read_purpose
from modules.library.quantization import (
    METHODS,
    Quantization,
    quantization_in_config,
)
from modules.library.quantization_methods import read_method_config
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts

# As Llama's and Mistral's makers name them; Transformers has names of its own.
_OWN_NAMES = re.compile(r"tok_embeddings\.weight$|layers\.\d+\.(attention\.w[qkvo]|feed_forward\.w[123])\.")
_AGAIN = "Copy it from where the model came from."


def detect(path: Path, name: str) -> ModelFacts:
    """The facts of the model at `path`, a folder or a GGUF file, known to the user as `name`.

    What is wrong with the files is in `problems`. Raises ModelError if there is nothing at `path` that can be read.
    """
    try:
        if path.is_dir():
            return _detect_folder(list_folder(path), name)
        if not path.is_file():
            raise ModelError(f"There is no model at {name}. Press refresh, or look into {path.parent}.")
        found = FactsBuilder(name, str(path))
        if path.suffix.lower() == ".gguf":
            detect_gguf(path, found)
            if len((folder := list_folder(path.parent)).ggufs) == 1:
                _projector(folder, found)
        elif path.name.lower().endswith(SUFFIXES):
            detect_remote(path, found)
        else:
            found.problems.append(
                f"{path.name} is neither a GGUF file nor a model's folder. Put the model's whole folder "
                f"into {path.parent}."
            )
        return found.build()
    except OSError as error:
        raise ModelError(f"{name} cannot be read ({error.strerror}). Check its permissions.") from error


def _detect_folder(folder: ModelFolder, name: str) -> ModelFacts:
    weights = folder.safetensors or folder.pickled_weights
    if folder.ggufs and not weights:
        if len(folder.ggufs) == 1:
            path = folder.path / folder.ggufs[0]
            found = FactsBuilder(name, str(path))
            detect_gguf(path, found)
            _projector(folder, found)
            return found.build()
        found = FactsBuilder(name, str(folder.path))
        found.add("format", "gguf", f"file names: {join_names(folder.ggufs)}")
        names = [f"{name.rstrip('/')}/{file}" for file in folder.ggufs]
        found.problems.append(f"The folder holds {len(names)} GGUF models. Choose one: {join_names(names, most=10)}.")
        return found.build()
    found = FactsBuilder(name, str(folder.path))
    config = _read(folder, "config.json", found)
    tokenizer = _read(folder, "tokenizer_config.json", found)
    read_config(config, found)
    found.add_default("context", _tokenizer_length(tokenizer), "tokenizer_config.json: model_max_length")
    if config and weights and not folder.is_adapter:
        read_purpose(folder, config, found)
        _template(folder, found)
    claim = _claim(folder, config, found)
    if folder.safetensors:
        _safetensors(folder, claim, found)
    elif folder.pickled_weights:
        _pickles(folder, claim, found)
    _missing_parts(folder, name, found)
    return found.build()


def _read(folder: ModelFolder, file: str, found: FactsBuilder) -> dict[str, Any]:
    try:
        return read_object(folder.path / file)
    except ModelError as error:
        found.problems.append(error.message)
        return {}


def _tokenizer_length(tokenizer: dict[str, Any]) -> int:
    length = positive_int(tokenizer.get("model_max_length"))
    return length if length < 100_000_000 else 0  # "no limit" is written as 10^30


def _template(folder: ModelFolder, found: FactsBuilder) -> None:
    if source := find_template(folder.path).source:
        found.add(
            "template", source, f"file name: {source}" if "chat_template" in source else f"{source}: chat_template"
        )
    elif found.get("purpose", "generate") == "generate":
        found.warnings.append("The folder has no chat template: a general one is used, and replies may suffer for it.")


def _claim(folder: ModelFolder, config: dict[str, Any], found: FactsBuilder) -> Quantization | None:
    """What the configuration says of the quantization; all files that say something are evidence."""
    first = None
    nested = as_object(as_object(config.get("text_config")).get("quantization_config"))
    for values, file in (
        (as_object(config.get("quantization_config")) or nested, "config.json: quantization_config"),
        (_read(folder, "quantize_config.json", found), "quantize_config.json"),
        (_read(folder, "quant_config.json", found), "quant_config.json"),
        (_modelopt(_read(folder, "hf_quant_config.json", found)), "hf_quant_config.json"),
    ):
        if claim := quantization_in_config(values, file):
            claim = read_method_config(values, claim.method) or claim
            _note(claim, file, found)
            first = first or claim
    return first


def _modelopt(config: dict[str, Any]) -> dict[str, Any]:
    """What NVIDIA's ModelOpt writes beside config.json, or instead of its quantization_config."""
    return {"quant_method": "modelopt", **config} if config else {}


def _note(quantization: Quantization, source: str, found: FactsBuilder) -> None:
    if quantization.method in METHODS:
        found.add("format", quantization.method, source)
    found.add("method", quantization.method, source)
    found.add("bits", quantization.bits, source)
    found.add("group_size", quantization.group_size, source)
    found.add("act_order", quantization.act_order, source)
    for key, value in quantization.extra:
        found.add(key, value, source)


def _files(folder: ModelFolder, names: list[str], index: str, whole_file: str, found: FactsBuilder) -> list[str]:
    """The files of weights that a loader would read: those of the index, else the whole file, else all there are."""
    if index in folder.files:
        try:
            needed = safetensors.files_in_index(folder.path / index)
        except ModelError as error:
            found.problems.append(error.message)
            return names
    elif whole_file in names:
        needed = [whole_file]
