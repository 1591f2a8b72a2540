"""Repack AWQ's matrices for torch's 4-bit matrix product on a CPU (`_weight_int4pack_mm_for_cpu`).

AutoAWQ has no kernel for CPUs. It unpacks every matrix for every token and multiplies in 16 bits, which few CPUs
support. Torch's product reads the packed weights, with inputs, scales and zero points in bf16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

# What the product takes: weights that share a scale, and rows in a block of its layout.
_GROUPS, _BLOCK = (32, 64, 128, 256), 64
# Where each of eight columns lies in 32 bits, in fours from the lowest.
_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
# Rows unpacked at once while a model loads.
_ROWS = 16 * _BLOCK


def int4_supported() -> bool:
    """Return True if torch has a vectorized product for this CPU. Plain C++ is a hundred times slower."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def repack_layers(model: PreTrainedModel) -> int:
    """Replace AutoAWQ's matrices with torch's where possible. Return the number of replaced matrices."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child).__name__ == "WQLinear_GEMM" and _takes(child)
    ]
    for parent, name, child in found:
        setattr(parent, name, Int4Linear(child))
    return len(found)


def _takes(linear: Module) -> bool:
    return linear.qweight.device.type == "cpu" and linear.group_size in _GROUPS and linear.out_features % _BLOCK == 0


class Int4Linear(nn.Module):  # type: ignore[misc]
    """One of AutoAWQ's matrices, repacked. Maps [..., in] to [..., out], in the type of its input."""

    def __init__(self, linear: Module) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.group_size = linear.group_size
        self.register_buffer("weight", _packed(linear.qweight))
        scales = linear.scales.float()
        # Torch computes a weight as (q - 8) s + z, AWQ as (q - zero) s.
        zeros = (8 - _columns(linear.qzeros).t()) * scales
        self.register_buffer("scales", torch.stack([scales, zeros], -1).to(torch.bfloat16))
        self.register_buffer("bias", linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        rows = states.reshape(-1, self.in_features).to(torch.bfloat16)
        product = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.weight, self.group_size, self.scales)
        out = product.to(states.dtype).view(*states.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias


def _packed(qweight: Tensor) -> Tensor:
    """Convert AWQ's [in, out / 8] of 32 bits to torch's [out, in / 2] of 8 bits, some rows at a time."""
    convert = torch.ops.aten._convert_weight_to_int4pack_for_cpu
    return torch.cat([convert(_columns(part), 1) for part in qweight.split(_ROWS // 8, dim=1)])


def _columns(packed: Tensor) -> Tensor:
    """Unpack [rows, columns / 8] to [columns, rows], each in 32 bits."""
    turned = packed.t().contiguous()
    return torch.stack([(turned >> (4 * at)) & 15 for at in _PLACES], 1).view(-1, packed.shape[0])
