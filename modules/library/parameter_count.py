"""Count a model's parameters in the shapes of its tensors, packed ones included."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modules.library.safetensors import TensorInfo

# Tensors of a layer have its number in their names: model.layers.0.mlp.up_proj.weight, blk.0.ffn_up.weight.
LAYER_TENSOR = re.compile(r"\.\d+\.")
# The experts of a mixture of experts in a GGUF file, which llama.cpp has in one tensor for each matrix.
EXPERT_TENSOR = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch)?exps\.")

# Method -> last parts of the names of tensors that hold scales, zero points and the like.
_HELPER_TENSORS = {
    "gptq": ("scales", "qzeros", "g_idx"),
    "awq": ("scales", "qzeros"),
    "exl3": ("su", "sv", "suh", "svh", "mcg", "mul1"),
    "exl2": ("q_scale", "q_scale_max", "q_groups", "q_group_map", "q_invperm", "q_perm"),
    # What HQQ keeps beside W_q: https://github.com/mobiusml/hqq, HQQLinear.state_dict.
    "hqq": (
        *("scale", "zero", "meta", "nbits", "group_size", "axis", "shape", "packing", "unpack_view_dtype"),
        *("compute_dtype", "encoded_state_dict", "stores_quant_config", "channel_wise", "optimize", "round_zero"),
        *("view_as_float", "quant_scale", "quant_zero", "offload_meta"),
    ),
    "bitsandbytes": ("SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map", "weight_format"),
    "fp8": ("weight_scale", "weight_scale_inv", "input_scale", "activation_scale", "k_scale", "v_scale"),
    "compressed-tensors": (
        *("weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "weight_global_scale"),
        *("input_scale", "input_zero_point", "input_global_scale", "k_scale", "v_scale"),
    ),
}


def count_parameters(tensors: Mapping[str, TensorInfo], method: str, bits: float) -> int:
    """Return how many weights the tensors hold.

    Packed weights are counted as if unpacked; tensors that only serve unpacking are not counted. `method` is
    ModelFacts.format, `bits` the bits of a packed weight (0 if unknown).
    """
    total = 0
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if last in ("qweight", "W_q", "weight_packed") and bits:
            total += round(info.size * 8 / bits)
        elif last == "q_weight" and (order := tensors.get(f"{base}.q_invperm")):
            total += order.elements * (info.shape[1] if len(info.shape) == 2 else 0)
        elif last == "trellis" and len(info.shape) == 3:
            # Rows and columns of tiles of 16 × 16 weights.
            total += info.shape[0] * info.shape[1] * 256
        elif (method == "bitsandbytes" and info.kind == "U8" and f"{name}.absmax" in tensors) or (
            method == "mxfp4" and last.endswith("_blocks")
        ):
            total += info.elements * 2  # two weights of 4 bits in each byte
        elif not _is_helper(name, last, method):
            total += info.elements
    return total


def _is_helper(name: str, last: str, method: str) -> bool:
    """Return True if a tensor holds scales and the like of a quantized weight."""
    if method == "mxfp4" and last.endswith("_scales"):
        return True
    return last in _HELPER_TENSORS.get(method, ()) or ".quant_state." in name
