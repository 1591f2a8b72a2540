"""Checks that packed weights of a Transformers model match its configuration, and counts parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import missing_tensor_error, read_header

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_READS = {"gptq": "GPTQModel or AutoGPTQ", "awq": "AutoAWQ or GPTQModel"}


def check_packing(
    folder: Path,
    files: Iterable[Path],
    claim: Mapping[str, object],
    methods: tuple[str, ...],
    bits: tuple[int, ...],
    title: str,
) -> str:
    """Return the quantization method of `folder`, one of `methods`. Raises ModelError if it is another one, if tensors
    and configuration disagree, or if the loader `title` does not support its bits or group size.

    GPTQ packs along the input: qweight [in × bits / 32, out]; AWQ along the output: qweight [in, out × bits / 32]. Both
    have scales [groups, out].
    """
    method = str(claim.get("quant_method", "")).lower()
    if method not in methods:
        said = f"is packed by {method.upper()}" if method else "says nothing of a quantization"
        raise ModelError(
            f"{folder.name} {said}, and {title} reads {' and '.join(name.upper() for name in methods)} only. "
            "Choose another loader."
        )
    given = claim.get("bits")
    if given not in bits:
        allowed = ", ".join(map(str, bits))
        raise ModelError(
            f"{folder.name} has {given} bits a weight, and {title} takes {allowed}. Choose another loader or model."
        )
    group = claim.get("group_size", -1)
    if not isinstance(group, int) or group == 0 or group < -1:
        raise ModelError(f"{folder.name} says {group!r} for its group size, which cannot be. Download the model again.")
    shapes = {name: entry["shape"] for file in files for name, entry in read_header(file).items()}
    shown = _shown(shapes)
    if shown != method:
        kind = f"packed as {shown.upper()}, which {_READS[shown]} reads" if shown else "not packed at all"
        raise ModelError(
            f"{folder.name} says {method.upper()} in its configuration, but its tensors are {kind}: its files belong "
            "to different models. Download the folder again."
        )
    return method


def check_complete(model: PreTrainedModel, folder: Path, files: Iterable[Path]) -> None:
    """Raise ModelError if `files` lack tensors of the model. Some engines leave missing tensors uninitialized.

    Two kinds may be missing: weights shared with one that exists, and g_idx and bias of a packed layer. Old GPTQ files
    have no g_idx, and AutoGPTQ creates a bias for layers without one.
    """
    there = {name for file in files for name in read_header(file)}
    state = model.state_dict()
    known = {tensor.data_ptr() for name, tensor in state.items() if name in there}
    missing = []
    for name, tensor in state.items():
        base, _, last = name.rpartition(".")
        optional = last in ("g_idx", "bias") and f"{base}.qweight" in there
        if name not in there and not optional and tensor.data_ptr() not in known:
            missing.append(name)
    if missing:
        raise missing_tensor_error(f"The weights of {folder.name}", missing)


def _shown(shapes: Mapping[str, list[int]]) -> str:
    for name, shape in shapes.items():
        base, _, last = name.rpartition(".")
        scales = shapes.get(f"{base}.scales", [])
        if last == "qweight" and len(shape) == len(scales) == 2:
            return "gptq" if shape[1] == scales[1] else "awq"
    return ""


def count_parameters(model: PreTrainedModel) -> int:
    """Return the number of weights. Packed weights count as unpacked, and shared ones count once."""
    seen: set[int] = set()
    total = 0
    for module in model.modules():
        wide, high = (
            _size(module, names) for names in (("in_features", "infeatures"), ("out_features", "outfeatures"))
        )
        own = list(module.parameters(recurse=False))
        if wide and high and not any(weight.numel() == wide * high for weight in own):
            total += wide * high
            continue
        total += sum(weight.numel() for weight in own if id(weight) not in seen)
        seen.update(map(id, own))
    return total


def _size(module: object, names: tuple[str, ...]) -> int:
    return next((size for name in names if isinstance(size := getattr(module, name, None), int)), 0)
