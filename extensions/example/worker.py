"""The example's hooks in the model's process. They receive tokens and logits and change nothing here."""

from __future__ import annotations

from typing import Any


def tokenizer_modifier(prompt: str, input_ids: Any, input_embeds: Any) -> tuple[str, Any, Any]:
    """Return the prompt and its tokens, shape [1, tokens]."""
    return prompt, input_ids, input_embeds


def logits_processor_modifier(processor_list: list[Any], input_ids: Any) -> None:
    """Append functions of (input_ids, scores) that return the scores, as in Transformers."""


def logits_modifier(tokens: list[int], logits: Any) -> None:
    """Change the next token's logits, shape [vocabulary], in place, or return them."""
