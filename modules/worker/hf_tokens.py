"""Which of a tokenizer's tokens mean something to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Tokens that end a turn, by name: models often name only one of theirs as their end (the list is llama.cpp's).
_END_NAMES = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|END_OF_TURN_TOKEN|>",
    "<EOT>",
    "_<EOT>",
    "<|eot|>",
)


def end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Ids of every token that ends a reply: of generation_config.json, config.json, the tokenizer, and by name."""
    named = [getattr(model, "generation_config", None), model.config]
    found: list[int] = []
    for value in [*(getattr(config, "eos_token_id", None) for config in named), tokenizer.eos_token_id]:
        found += value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    found += [token for token, added in tokenizer.added_tokens_decoder.items() if str(added) in _END_NAMES]
    return tuple(dict.fromkeys(int(token) for token in found if int(token) >= 0))


def newline_token(last_token: Callable[[str], int | None]) -> int | None:
    """The token of a line break within a text."""
    return last_token("a\n")
