"""Facts from a folder's files of weights: safetensors, or pickles, which are never unpickled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from modules.families.weight_files import find_other_weights
from modules.library import safetensors
from modules.library.detect_quantization import note_tensor_quantization
from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder, all_shard_names, join_names
from modules.library.hqq_save import read_hqq_save
from modules.library.layer_matrices import matrix_widths
from modules.library.mixed_shards import find_mixed_shards
from modules.library.parameter_count import LAYER_TENSOR, count_parameters
from modules.library.quantization_config import Quantization
from modules.protocol.errors import ModelError

# Tensor names of the original Llama and Mistral releases; Transformers uses other names.
_ORIGINAL_NAMES = re.compile(r"tok_embeddings\.weight$|layers\.\d+\.(attention\.w[qkvo]|feed_forward\.w[123])\.")


def note_weights(folder: ModelFolder, declared: Quantization | None, found: FactsBuilder) -> None:
    """Note facts from the weights. `declared` is the quantization that the configuration names, if any."""
    if folder.safetensors:
        _note_safetensors(folder, declared, found)
    elif folder.pickled_weights:
        _note_pickles(folder, declared, found)


def _weight_files(folder: ModelFolder, names: list[str], index: str, whole_file: str, found: FactsBuilder) -> list[str]:
    """Return the files that a loader would read: those of the index, else the whole file, else all of `names`."""
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


def _note_safetensors(folder: ModelFolder, declared: Quantization | None, found: FactsBuilder) -> None:
    files = _weight_files(folder, folder.safetensors, "model.safetensors.index.json", "model.safetensors", found)
    found.add("size_bytes", folder.size(files), "file sizes")
    headers = safetensors.read_headers(folder.path, files, found.problems)
    if original := next((name for header in headers.values() for name in header if _ORIGINAL_NAMES.match(name)), ""):
        found.problems.append(
            f"The tensors of {join_names(files)} have the names of the original release ({original}), not those of "
            "Transformers. Get the version of this model for Transformers, with model.safetensors, or as GGUF."
        )
    if not found.problems and (sentence := find_mixed_shards(headers, folder, found.get("hidden", 0))):
        found.problems.append(sentence)
    tensors = {name: info for header in headers.values() for name, info in header.items()}
    note_tensor_quantization(tensors, declared, found)
    if not found.get("format", ""):
        found.add("format", "safetensors", f"file names: {join_names(files)}")
    if tensors and not found.problems:
        _note_sizes(tensors, found)


def _note_sizes(tensors: Mapping[str, safetensors.TensorInfo], found: FactsBuilder) -> None:
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
        size = sum(info.size for info in tensors.values())
        found.add("bits", round(size * 8 / count, 2), "tensor bytes × 8 / parameters")
        inputs, outputs = matrix_widths({name: info.shape for name, info in layers.items()})
        found.add("input_widths", inputs, "shapes of the layers' tensors")
        found.add("output_widths", outputs, "shapes of the layers' tensors")


def _note_pickles(folder: ModelFolder, declared: Quantization | None, found: FactsBuilder) -> None:
    names = folder.pickled_weights
    if "qmodel.pt" in names and not declared:
        _note_hqq_save(folder, found)
    files = _weight_files(folder, names, "pytorch_model.bin.index.json", "pytorch_model.bin", found)
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


def _note_hqq_save(folder: ModelFolder, found: FactsBuilder) -> None:
    found.add("format", "hqq", "file name: qmodel.pt")
    try:
        saved = read_hqq_save(folder.path / "qmodel.pt")
    except ModelError as error:
        found.problems.append(error.message)
        return
    found.add("bits", saved.bits, "qmodel.pt: nbits of its layers")
    found.add("group_size", saved.group_size, "qmodel.pt: group_size of its layers")
    found.add("parameters", saved.parameters, "counted in qmodel.pt's shapes")
