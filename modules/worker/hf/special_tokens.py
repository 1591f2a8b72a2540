"""Finds the tokens that have a meaning for the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modules.worker.end_of_turn import ends_message_only

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Names of tokens that end a turn, for models without a chat template (the list is llama.cpp's).
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


def end_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: str, turn_end: str
) -> tuple[int, ...]:
    """Return the ids of all tokens that end a reply: those in generation_config.json, config.json and the tokenizer,
    and `turn_end`, which the chat template writes after a reply. Without a template, known names count."""
    named = [getattr(model, "generation_config", None), model.config]
    found: list[int] = []
    for value in [*(getattr(config, "eos_token_id", None) for config in named), tokenizer.eos_token_id]:
        found += value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    names = {str(added): token for token, added in tokenizer.added_tokens_decoder.items()}
    ends = [turn_end] if template else [name for name in END_NAMES if not ends_message_only(name, names)]
    found += [names[name] for name in ends if name in names]
    return tuple(dict.fromkeys(int(token) for token in found if int(token) >= 0))


def newline_token(last_token: Callable[[str], int | None]) -> int | None:
    """Return the token of a line break within a text."""
    return last_token("a\n")
