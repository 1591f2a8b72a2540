"""What a model on disk is, and from which evidence: file names, configuration, headers. No tensor is read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from modules.families.remote_file import SUFFIXES
from modules.families.template_file import find_template
from modules.families.weight_files import find_other_weights
from modules.library import safetensors
from modules.library.detect_gguf import detect_gguf
from modules.library.detect_remote import detect_remote
from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder, all_shard_names, join_names, list_folder
from modules.library.hqq_save import read_hqq_save
from modules.library.json_files import as_object, as_text, positive_int, read_object
from modules.library.mixed_shards import find_mixed_shards
from modules.library.model_config import read_config
from modules.library.purpose import read_purpose
from modules.library.quantization import (
    LAYER_TENSOR,
    METHODS,
    Quantization,
    count_parameters,
    quantization_in_config,
    quantization_in_tensors,
)
from modules.library.quantization_methods import cannot_read, method_in_tensors, read_method_config
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
    elif others := find_other_weights(names):
        needed = sorted({shard for name in others for shard in all_shard_names(name)})
        found.add("weights", join_names(others), f"file names, read as {whole_file}")
    else:
        needed = sorted({shard for name in names for shard in all_shard_names(name)})
    if missing := [name for name in needed if name not in folder.files]:
        found.problems.append(f"Parts of this model are missing: {join_names(missing)}. Download them into its folder.")
    return [name for name in needed if name in folder.files]


def _safetensors(folder: ModelFolder, claim: Quantization | None, found: FactsBuilder) -> None:
    files = _files(folder, folder.safetensors, "model.safetensors.index.json", "model.safetensors", found)
    found.add("size_bytes", folder.size(files), "file sizes")
    headers = safetensors.read_headers(folder.path, files, found.problems)
    if own := next((name for header in headers.values() for name in header if _OWN_NAMES.match(name)), ""):
        found.problems.append(
            f"The tensors of {join_names(files)} have their maker's own names ({own}), which no loader here reads. "
            "Get the version of this model for Transformers, with model.safetensors, or as GGUF."
        )
    if not found.problems and (sentence := find_mixed_shards(headers, folder, found.get("hidden", 0))):
        found.problems.append(sentence)
    tensors = {name: info for header in headers.values() for name, info in header.items()}
    packing = quantization_in_tensors(tensors)
    if not claim and not packing:
        method, example = method_in_tensors(tensors)
        claim = Quantization(method) if method else None
        found.add("method", method, f"safetensors headers: {example}")
    _compare(claim, packing, bool(tensors), found)
    if packing:
        _note(packing, "safetensors headers: names and shapes of tensors", found)
    if not claim or claim.method in METHODS:
        found.add("format", "safetensors", f"file names: {join_names(files)}")
    if not tensors or found.problems:
        return
    sizes = Counter[str]()
    for info in tensors.values():
        sizes[info.kind] += info.size
    found.add("dtype", sizes.most_common(1)[0][0], "safetensors headers: the type of most bytes")
    method, bits = found.get("format", ""), found.get("bits", 0)
    count = count_parameters(tensors, method, bits)
    found.add("parameters", count, "counted in the tensors' shapes")
    layers = {name: info for name, info in tensors.items() if LAYER_TENSOR.search(name)}
    found.add("layer_parameters", count_parameters(layers, method, bits), "shapes of the layers' tensors")
    found.add("layer_bytes", sum(info.size for info in layers.values()), "sizes of the layers' tensors")
    if count and method == "safetensors":
        found.add(
            "bits", round(sum(info.size for info in tensors.values()) * 8 / count, 2), "tensor bytes × 8 / parameters"
        )


def _compare(claim: Quantization | None, packing: Quantization | None, readable: bool, found: FactsBuilder) -> None:
    """Say where configuration and tensors disagree."""
    if claim and claim.method not in METHODS:
        found.problems.append(cannot_read(claim, METHODS))
    elif (
        claim
        and readable
        and claim.method in ("gptq", "awq", "exl2")
        and (not packing or packing.method != claim.method)
    ):
        kind = f"packed as {packing.method.upper()}" if packing else "not packed at all"
        found.problems.append(
            f"The configuration says {claim.method.upper()}, but the tensors are {kind}: "
            "the files belong to different models. Download the folder again."
        )
    elif claim and packing and claim.bits and packing.bits and claim.bits != packing.bits:
        found.warnings.append(
            f"The configuration says {claim.bits:g} bits, the tensors' shapes say {packing.bits:g}. It may not load."
        )


def _pickles(folder: ModelFolder, claim: Quantization | None, found: FactsBuilder) -> None:
    names = folder.pickled_weights
    if "qmodel.pt" in names and not claim:
        _hqq_save(folder, found)
    files = _files(folder, names, "pytorch_model.bin.index.json", "pytorch_model.bin", found)
    found.add("format", "pickle", f"file names: {join_names(files)}")
    size = folder.size(files)
    found.add("size_bytes", size, "file sizes")
    bits = found.get("bits", 0) or {"F32": 32, "F16": 16, "BF16": 16}.get(found.get("dtype", ""), 0)
    if bits and not found.get("parameters", 0):
        found.add("parameters", round(size * 8 / bits), f"estimated: file sizes at {bits:g} bits a weight")
    found.warnings.append(
        f"The weights are pickles ({join_names(files)}), which can run any code when they are loaded. "
        "Prefer a safetensors version of this model."
    )


def _hqq_save(folder: ModelFolder, found: FactsBuilder) -> None:
    found.add("format", "hqq", "file name: qmodel.pt")
    try:
        saved = read_hqq_save(folder.path / "qmodel.pt")
    except ModelError as error:
        found.problems.append(error.message)
        return
    found.add("bits", saved.bits, "qmodel.pt: nbits of its layers")
    found.add("group_size", saved.group_size, "qmodel.pt: group_size of its layers")
    found.add("parameters", saved.parameters, "counted in qmodel.pt's shapes")


def _projector(folder: ModelFolder, found: FactsBuilder) -> None:
    """Note the projector for images that lies beside a GGUF model."""
    if projectors := [file for file in folder.files_ending(".gguf") if file.lower().startswith("mmproj")]:
        found.add("vision", True, f"file name: {projectors[0]}")


def _missing_parts(folder: ModelFolder, name: str, found: FactsBuilder) -> None:
    """Say what the folder lacks to be a model."""
    weights = folder.safetensors or folder.pickled_weights
    if folder.is_adapter:
        base = as_text(_read(folder, "adapter_config.json", found).get("base_model_name_or_path"))
        found.problems.append(
            f"This is a LoRA adapter for {base or 'another model'}, not a model. Load that model and apply the adapter."
        )
    elif "config.json" not in folder.files:
        if not weights and (inner := _inner_models(folder.path, name)):
            found.problems.append(f"The model lies in an inner folder. Use this name: {join_names(inner, most=10)}.")
        elif folder.files:
            held = f"holds {join_names(weights or sorted(folder.files))}"
            found.problems.append(f"The folder {held} but no config.json, which says how to build the model. {_AGAIN}")
        else:
            held = "holds no files, only folders or hidden files" if any(folder.path.iterdir()) else "is empty"
            found.problems.append(f"The folder {held}. Copy the model's files into it.")
    elif not weights:
        found.problems.append("The folder holds a config.json but no weights (*.safetensors). Download them into it.")
    elif not folder.has_tokenizer:
        found.problems.append(f"The folder has no tokenizer (tokenizer.json or tokenizer.model). {_AGAIN}")
    if folder.unfinished:
        found.problems.append(
            f"The folder holds unfinished files: {join_names(folder.unfinished)}. Wait for the copy or download "
            "to end and press refresh; if it broke off, download again or delete them."
        )


def _inner_models(path: Path, name: str, depth: int = 4) -> list[str]:
    """The models below the folder at `path`, under the names that they have in models/."""
    found = []
    for entry in sorted(path.iterdir()):
        if not depth or entry.name.startswith(".") or entry.is_symlink() or not entry.is_dir():
            continue
        inner = f"{name.rstrip('/')}/{entry.name}"
        folder = list_folder(entry)
        if folder.is_model or len(folder.ggufs) == 1:
            found.append(inner)
        elif folder.ggufs:
            found += [f"{inner}/{file}" for file in folder.ggufs]
        else:
            found += _inner_models(entry, inner, depth - 1)
    return found
