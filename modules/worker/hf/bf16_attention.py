"""Attention for bf16 prompts on the CPU, where torch's own kernel would compute in 32 bits.

Matrix products in bf16 use the CPU's bf16 instructions and need no copies of grouped heads. Scores and weights are
rounded to bf16, as in Transformers' "eager" attention.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

_NAME = "paddock"
# The fewest query tokens and key tokens for which this is worth it.
_LEAST_READ, _LEAST_PAST = 32, 256
# Bytes of scores that are computed at a time.
_SCORES = 2**23
# Arguments of `sdpa_attention_forward` that only some models pass. They are not supported here.
_MORE = ("softcap", "position_bias", "s_aux", "cache")

Forward = Callable[..., tuple[Tensor, Tensor | None]]


def install(model: PreTrainedModel, device: torch.device) -> None:
    """Make the model use `attend` where it would use torch's kernel."""
    chosen = getattr(model.config, "_attn_implementation", "")
    if chosen != "sdpa" or device.type != "cpu" or model.dtype != torch.bfloat16:
        return
    try:
        usual = importlib.import_module("transformers.integrations.sdpa_attention").sdpa_attention_forward
    except ImportError:
        # Before Transformers 4.48, the attention function of a model cannot be chosen.
        return
    models = importlib.import_module("transformers.modeling_utils")
    try:
        masks = importlib.import_module("transformers.masking_utils")
        masks.AttentionMaskInterface.register(_NAME, masks.sdpa_mask)
        models.AttentionInterface.register(_NAME, forward(usual))
        model.set_attn_implementation(_NAME)
    except (ImportError, AttributeError):
        # Before 4.53, an attention function under a new name gets no usable mask.
        models.ALL_ATTENTION_FUNCTIONS["sdpa"] = forward(usual)


def forward(usual: Forward) -> Forward:
    """Return an attention function for Transformers. It calls `usual` for inputs that it does not support."""

    def attention(
        module: Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
    ) -> tuple[Tensor, Tensor | None]:
        mask = _opened(attention_mask, key.shape[2]) if _suits(query, key, more) else None
        if mask is None or mask.shape != (1, 1, query.shape[2], key.shape[2]):
            return usual(module, query, key, value, attention_mask, **more)
        scaling = more.get("scaling")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attend(query, key, value, mask, scale), None

    return attention


def _suits(query: Tensor, key: Tensor, more: dict[str, object]) -> bool:
    return (
        query.dtype == key.dtype == torch.bfloat16
        and query.device.type == "cpu"
        and query.shape[0] == 1
        and query.shape[2] >= _LEAST_READ
        and key.shape[2] >= _LEAST_PAST
        and query.shape[1] % key.shape[1] == 0
        and not more.get("dropout")
        and all(more.get(name) is None for name in _MORE)
    )


def _opened(mask: Tensor | None, past: int) -> Tensor | None:
    """Return the mask as a bool for each pair of tokens, or None if it contains anything but 0 and minus infinity."""
    if mask is None or mask.dtype == torch.bool:
        return mask
    # Before Transformers 4.53, the mask is added to the scores, and has one token too many.
    mask = mask[..., :past]
    opened = mask == 0
    return opened if bool((opened | (mask <= torch.finfo(mask.dtype).min)).all()) else None


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Return softmax(query keyᵀ scale) value over the pairs that are True in `mask` (bool, [1, 1, read, all]).

    `query`: [1, heads, read, size]; `key`, `value`: [1, key heads, all, size]. Returns [1, read, heads, size].
    """
    _, heads, read, size = query.shape
    groups, past = key.shape[1], key.shape[2]
    share = heads // groups
    queries = (query * scale).reshape(groups, share, read, size)
    keys, values = key[0].transpose(1, 2), value[0]
    shut = ~mask[0, 0]
    # Usually all earlier tokens are visible. Then only the newly read ones need masking.
    first = 0 if bool(shut[:, : past - read].any()) else past - read
    row = share * past * query.element_size()
    rows = min(read, max(16, _SCORES // row))
    many = min(groups, max(1, _SCORES // (row * rows)))
    # One buffer for all steps: allocating new pages would take as long as the products.
    room = torch.empty(many * share * rows * past, dtype=query.dtype)
    out = torch.empty((read, groups, share, value.shape[-1]), dtype=query.dtype)
    for begin in range(0, read, rows):
        part = queries[:, :, begin : begin + rows]
        count = part.shape[2]
        for group in range(0, groups, many):
            some = part[group : group + many].reshape(-1, share * count, size)
            scores = room[: some.shape[0] * share * count * past].view(-1, share * count, past)
            torch.bmm(some, keys[group : group + many], out=scores)
            shown = scores.view(-1, share, count, past)[..., first:]
            shown.masked_fill_(shut[begin : begin + count, first:], -torch.inf)
            torch.softmax(scores, -1, out=scores)
            seen = torch.bmm(scores, values[group : group + many]).view(-1, share, count, out.shape[-1])
            out[begin : begin + count, group : group + many] = seen.permute(2, 0, 1, 3)
    return out.view(1, read, heads, -1)
