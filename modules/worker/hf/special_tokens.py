"""Which of a tokenizer's tokens mean something to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.worker.end_of_turn import ends_message_only

# Tokens that end a turn, by name, for models that have no chat template to tell (the list is llama.cpp's).
END_NAMES = (
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


def end_tokens(model: Any, tokenizer: Any, template: str, turn_end: str) -> tuple[int, ...]:
    """Ids of every token that ends a reply: those that generation_config.json, config.json and the tokenizer name, and
    `turn_end`, the one that the chat template writes behind a reply. Without a template, known names count."""
    named = [getattr(model, "generation_config", None), model.config]
    found: list[int] = []
    for value in [*(getattr(config, "eos_token_id", None) for config in named), tokenizer.eos_token_id]:
        found += value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    names = {str(added): token for token, added in tokenizer.added_tokens_decoder.items()}
    ends = [turn_end] if template else [name for name in END_NAMES if not ends_message_only(name, names)]
    found += [names[name] for name in ends if name in names]
    return tuple(dict.fromkeys(int(token) for token in found if int(token) >= 0))


def newline_token(last_token: Callable[[str], int | None]) -> int | None:
    """The token of a line break within a text."""
    return last_token("a\n")
