"""Find a folder's quantization in its configuration and its tensors, and note where the two disagree."""

from __future__ import annotations

from collections.abc import Mapping

from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder
from modules.library.json_files import as_object, read_object_or_note
from modules.library.known_quantizations import method_in_tensors
from modules.library.quantization_config import Quantization, quantization_in_config, quantization_in_tensors
from modules.library.safetensors import TensorInfo

# Methods whose packing `quantization_in_tensors` always recognizes, so that its absence is a contradiction.
_PACKED_METHODS = ("gptq", "awq", "exl2")


def note_quantization(folder: ModelFolder, config: dict[str, object], found: FactsBuilder) -> Quantization | None:
    """Note what the configuration files say and return the first of it; None if they say nothing.

    Every file that says something is kept as evidence.
    """
    first = None
    nested = as_object(as_object(config.get("text_config")).get("quantization_config"))
    for values, file in (
        (as_object(config.get("quantization_config")) or nested, "config.json: quantization_config"),
        (_read(folder, "quantize_config.json", found), "quantize_config.json"),
        (_read(folder, "quant_config.json", found), "quant_config.json"),
        (_modelopt(_read(folder, "hf_quant_config.json", found)), "hf_quant_config.json"),
    ):
        if declared := quantization_in_config(values, file):
            _note(declared, file, found)
            first = first or declared
    return first


def _read(folder: ModelFolder, file: str, found: FactsBuilder) -> dict[str, object]:
    return read_object_or_note(folder.path / file, found.problems)


def _modelopt(config: dict[str, object]) -> dict[str, object]:
    """Return what NVIDIA's ModelOpt writes beside config.json, or in place of its quantization_config."""
    return {"quant_method": "modelopt", **config} if config else {}


def _note(quantization: Quantization, source: str, found: FactsBuilder) -> None:
    found.add("format", quantization.format, source)
    found.add("method", quantization.method, source)
    found.add("bits", quantization.bits, source)
    found.add("group_size", quantization.group_size, source)
    found.add("act_order", quantization.act_order, source)
    for key, value in quantization.extra:
        found.add(key, value, source)


def note_tensor_quantization(
    tensors: Mapping[str, TensorInfo], declared: Quantization | None, found: FactsBuilder
) -> None:
    """Note what the tensors show, and a problem or a warning where they contradict the configuration.

    `declared` is what `note_quantization` returned. `tensors` is empty where no header could be read.
    """
    packing = quantization_in_tensors(tensors)
    if not declared and not packing:
        method, example = method_in_tensors(tensors)
        if method:
            _note(Quantization(method), f"safetensors headers: {example}", found)
    if scales := next((name for name in tensors if name.endswith(".weight_scale_inv")), ""):
        found.add("scales", "weight_scale_inv", f"safetensors headers: {scales}")
    if tensors:
        _compare(declared, packing, found)
    if packing:
        _note(packing, "safetensors headers: names and shapes of tensors", found)


def _compare(declared: Quantization | None, packing: Quantization | None, found: FactsBuilder) -> None:
    if not declared:
        return
    if declared.method in _PACKED_METHODS and (not packing or packing.method != declared.method):
        kind = f"packed as {packing.method.upper()}" if packing else "not packed at all"
        found.problems.append(
            f"The configuration says {declared.method.upper()}, but the tensors are {kind}: the files belong to "
            "different models. Download the folder again."
        )
    elif packing and declared.bits and packing.bits and declared.bits != packing.bits:
        found.warnings.append(
            f"The configuration says {declared.bits:g} bits, but the tensors' shapes say {packing.bits:g}. The model "
            "may not load."
        )
