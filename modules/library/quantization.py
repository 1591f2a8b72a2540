"""How a folder's weights are quantized: what its configuration claims, and what its tensors show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.library.json_files import as_object, as_text, positive_int, positive_number
from modules.library.safetensors import TensorInfo

# Tensors of a layer have its number in their names: model.layers.0.mlp.up_proj.weight, blk.0.ffn_up.weight.
LAYER_TENSOR = re.compile(r"\.\d+\.")

# What HQQ keeps beside W_q: https://github.com/mobiusml/hqq, HQQLinear.state_dict.
_HQQ_HELPERS = (
    *("scale", "zero", "meta", "nbits", "group_size", "axis", "shape", "packing", "unpack_view_dtype", "compute_dtype"),
    *("encoded_state_dict", "stores_quant_config", "channel_wise", "optimize", "round_zero", "view_as_float"),
    *("quant_scale", "quant_zero", "offload_meta"),
)
METHODS = ("gptq", "awq", "exl2", "hqq", "bitsandbytes")


@dataclass(frozen=True)
class Quantization:
    """`method` is one of METHODS or what the file says; 0, None and "" mean not said. `group_size`: -1 where a group is
    the whole row. `extra`: for people only."""

    method: str
    bits: float = 0
    group_size: int = 0
    act_order: bool | None = None
    extra: tuple[tuple[str, str], ...] = ()


def quantization_in_config(config: Mapping[str, Any], file: str) -> Quantization | None:
    """What a quantization_config, quantize_config.json or quant_config.json (see `file`) says. None: nothing."""
    if not config:
        return None
    method = as_text(config.get("quant_method")).lower()
    if not method:
        method = _guess(config, file)
    if method == "bitsandbytes":
        bits = 4.0 if config.get("load_in_4bit") is True else 8.0 if config.get("load_in_8bit") is True else 0.0
        return Quantization(method, bits, extra=_extra(config, "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"))
    if method == "hqq":
        weights = as_object(as_object(config.get("quant_config") or config).get("weight_quant_params"))
        return Quantization(method, positive_number(weights.get("nbits")), positive_int(weights.get("group_size")))
    act_order = config.get("desc_act")
    return Quantization(
        method,
        positive_number(config.get("bits")) or positive_number(config.get("w_bit")),
        _group_size(config.get("group_size")) or _group_size(config.get("q_group_size")),
        act_order if isinstance(act_order, bool) else None,
        _extra(config, "zero_point", "sym", "version", "checkpoint_format", "format", "head_bits"),
    )


def _group_size(value: Any) -> int:
    return -1 if value == -1 and not isinstance(value, bool) else positive_int(value)


def _guess(config: Mapping[str, Any], file: str) -> str:
    """The method of a configuration that does not name it: those of the first AutoGPTQ and AutoAWQ did not."""
    if "w_bit" in config or "q_group_size" in config:
        return "awq"
    if "desc_act" in config or file == "quantize_config.json":
        return "gptq"
    if "load_in_4bit" in config or "load_in_8bit" in config:
        return "bitsandbytes"
    return "awq" if file == "quant_config.json" else ""


def _extra(config: Mapping[str, Any], *keys: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(config[key])) for key in keys if isinstance(config.get(key), (str, bool, int, float)))


def quantization_in_tensors(tensors: Mapping[str, TensorInfo]) -> Quantization | None:
    """The packing that the tensors' names and shapes show. None: they are not packed.

    GPTQ packs along the input: qweight [in × bits / 32, out]. AWQ along the output: qweight [in, out × bits / 32].
    Both have scales [groups, out] and qzeros [groups, out × bits / 32].
    """
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if last == "q_weight" and f"{base}.q_scale" in tensors:
            return Quantization("exl2")
        if last == "W_q":
            return Quantization("hqq")
        if last == "SCB":
            return Quantization("bitsandbytes", 8)
        if ".quant_state.bitsandbytes__" in name:
            return Quantization("bitsandbytes", 4)
        if last == "qweight" and (found := _integers(base, info, tensors)):
            return found
    return None


def _integers(base: str, weight: TensorInfo, tensors: Mapping[str, TensorInfo]) -> Quantization | None:
    scales, zeros = tensors.get(f"{base}.scales"), tensors.get(f"{base}.qzeros")
    shapes = [part.shape if part else () for part in (weight, scales, zeros)]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        return None
    (rows, columns), (groups, outputs), (_, packed) = shapes
    bits = 32 * packed / outputs
    if columns == outputs:
        return Quantization("gptq", bits, round(rows * 32 / bits / groups) if groups > 1 else -1)
    return Quantization("awq", bits, round(rows / groups) if groups > 1 else -1) if columns == packed else None


def count_parameters(tensors: Mapping[str, TensorInfo], method: str, bits: float) -> int:
    """How many weights the tensors stand for: packed ones are unpacked, what only serves unpacking does not count."""
    total = 0
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if last in ("qweight", "W_q") and bits:
            total += round(info.size * 8 / bits)
        elif last == "q_weight" and (order := tensors.get(f"{base}.q_invperm")):
            total += order.elements * (info.shape[1] if len(info.shape) == 2 else 0)
        elif method == "bitsandbytes" and info.kind == "U8" and f"{name}.absmax" in tensors:
            total += info.elements * 2
        elif not _serves(name, last, method):
            total += info.elements
    return total


def _serves(name: str, last: str, method: str) -> bool:
    """Whether a tensor holds scales and the like of a quantized weight."""
    helpers = {
        "gptq": ("scales", "qzeros", "g_idx"),
        "awq": ("scales", "qzeros"),
        "exl2": ("q_scale", "q_scale_max", "q_groups", "q_group_map", "q_invperm", "q_perm"),
        "hqq": _HQQ_HELPERS,
        "bitsandbytes": ("SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map", "weight_format"),
    }
    return last in helpers.get(method, ()) or ".quant_state." in name
