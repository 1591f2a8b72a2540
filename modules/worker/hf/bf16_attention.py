"""Attention for reading a prompt in bf16 on a processor, where torch's own kernel computes in 32 bits all the same.

Matrix products in bf16 take the processor's own instructions for it, and need no copies of grouped heads. Scores and
weights are rounded to bf16, as Transformers' "eager" attention has them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_NAME = "paddock"
# Below these there is little to win: tokens read at once, and tokens looked at.
_LEAST_READ, _LEAST_PAST = 32, 256
# Scores at a time. Bytes.
_SCORES = 2**23
# What some models ask of attention besides. As `sdpa_attention_forward` names them.
_MORE = ("softcap", "position_bias", "s_aux", "cache")

Forward = Callable[..., tuple[Tensor, Any]]


def install(model: Any, device: torch.device) -> None:
    """Let the model read with `attend` where it would with torch's kernel."""
    chosen = getattr(model.config, "_attn_implementation", "")
    if chosen != "sdpa" or device.type != "cpu" or model.dtype != torch.bfloat16:
        return
    try:
        usual = importlib.import_module("transformers.integrations.sdpa_attention").sdpa_attention_forward
    except ImportError:
        # Before Transformers 4.48 models do not ask which attention to use.
        return
    models = importlib.import_module("transformers.modeling_utils")
    try:
        masks = importlib.import_module("transformers.masking_utils")
        masks.AttentionMaskInterface.register(_NAME, masks.sdpa_mask)
        models.AttentionInterface.register(_NAME, forward(usual))
        model.set_attn_implementation(_NAME)
    except (ImportError, AttributeError):
        # Before 4.53 an attention function with its own name gets no mask that it can use.
        models.ALL_ATTENTION_FUNCTIONS["sdpa"] = forward(usual)


def forward(usual: Forward) -> Forward:
    """An attention function as Transformers has them, which leaves to `usual` what it is not made for."""

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
    ) -> tuple[Tensor, Any]:
        mask = _opened(attention_mask, key.shape[2]) if _suits(query, key, more) else None
        if mask is None or mask.shape != (1, 1, query.shape[2], key.shape[2]):
            return usual(module, query, key, value, attention_mask, **more)
        scaling = more.get("scaling")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attend(query, key, value, mask, scale), None

    return attention


def _suits(query: Tensor, key: Tensor, more: dict[str, Any]) -> bool:
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
    """The mask as a bool for each pair of tokens. None where it does more than open and shut."""
    if mask is None or mask.dtype == torch.bool:
        return mask
    # Transformers before 4.53 add theirs to the scores, and make it for a token more than there is.
    mask = mask[..., :past]
    opened = mask == 0
    return opened if bool((opened | (mask <= torch.finfo(mask.dtype).min)).all()) else None


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(query keyᵀ scale) value over what `mask` (bool, [1, 1, read, all]) lets through.

    `query`: [1, heads, read, size]; `key`, `value`: [1, key heads, all, size]. Returns [1, read, heads, size].
    """
    _, heads, read, size = query.shape
    groups, past = key.shape[1], key.shape[2]
    share = heads // groups
    queries = (query * scale).reshape(groups, share, read, size)
    keys, values = key[0].transpose(1, 2), value[0]
    shut = ~mask[0, 0]
    # All the tokens before those that are read are mostly open: then only the rest needs closing.
    first = 0 if bool(shut[:, : past - read].any()) else past - read
    row = share * past * query.element_size()
    rows = min(read, max(16, _SCORES // row))
    many = min(groups, max(1, _SCORES // (row * rows)))
    # One piece of memory for all: fresh pages would cost as much as the products.
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
