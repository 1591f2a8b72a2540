"""Multiply several quantized matrices with the same input as one.

AutoAWQ's fused blocks need CUDA kernels and have a separate cache, which cannot be cropped to a common prefix. This
module keeps the model's structure. AWQ packs along the output, so matrices are joined side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

_TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def fuse_projections(model: PreTrainedModel) -> int:
    """Join matrices where possible. Return the number of groups."""
    count = 0
    for parent in list(model.modules()):
        for names in _TOGETHER:
            parts: list[Module] = [getattr(parent, name, None) for name in names]
            if all(type(part).__name__ == "WQLinear_GEMM" and part.qweight.device.type != "meta" for part in parts):
                joined = _joined(parts)
                for at, name in enumerate(names):
                    setattr(parent, name, _Part(joined, at))
                count += 1
    return count


class _Joined(nn.Module):  # type: ignore[misc]
    """One quantized matrix for several. Keeps the outputs of the last input until each was read."""

    def __init__(self, linear: Module, widths: list[int]) -> None:
        super().__init__()
        self.linear, self.widths = linear, widths
        self._input: Tensor | None = None
        self._outputs: list[Tensor | None] = []

    def part(self, at: int, states: Tensor) -> Tensor:
        if self._input is not states or self._outputs[at] is None:
            self._input = states
            self._outputs = list(self.linear(states).split(self.widths, dim=-1))
        output = self._outputs[at]
        assert output is not None
        self._outputs[at] = None
        if not any(rest is not None for rest in self._outputs):
            self._input, self._outputs = None, [None] * len(self.widths)
        return output


class _Part(nn.Module):  # type: ignore[misc]
    """Takes the place of one of the joined matrices."""

    def __init__(self, joined: _Joined, at: int) -> None:
        super().__init__()
        self.joined, self.at = joined, at

    def forward(self, states: Tensor) -> Tensor:
        return self.joined.part(self.at, states)


def _joined(parts: list[Module]) -> _Joined:
    first = parts[0]
    widths = [part.out_features for part in parts]
    has_bias = any(part.bias is not None for part in parts)
    linear = type(first)(
        first.w_bit, first.group_size, first.in_features, sum(widths), has_bias, first.qweight.device, training=False
    )
    for name in ("qweight", "qzeros", "scales"):
        setattr(linear, name, torch.cat([getattr(part, name) for part in parts], dim=1))
    if has_bias:
        linear.bias = torch.cat(
            [part.scales.new_zeros(part.out_features) if part.bias is None else part.bias for part in parts]
        )
    return _Joined(linear, widths)
