"""Write numbers and labels as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def short_count(number: float) -> str:
    """Return a short number: 8030261248 -> "8.0 B", 5200000 -> "5.2 M"."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number:.0f}"


def plural(number: int, one: str) -> str:
    """Return a number with its noun: (1, "token") -> "1 token", (1200, "token") -> "1,200 tokens"."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def seconds(duration: float) -> str:
    """Return a duration: 0.412 -> "0.41 s", 75 -> "1 min 15 s"."""
    if duration < 60:
        return f"{duration:.2f} s" if duration < 10 else f"{duration:.0f} s"
    return f"{int(duration // 60)} min {int(duration % 60)} s"


def rate(tokens: int, duration: float) -> str:
    """Return the tokens per second, or "" if there are too few to measure."""
    return f"{tokens / duration:.1f} tokens/s" if duration > 0 and tokens > 1 else ""


_PURPOSES = {
    "generate": "chat and text",
    "embed": "embeddings",
    "rerank": "reranking",
    "classify": "classification",
    "encode": "an encoder",
    "encode-decode": "an encoder-decoder",
    "other": "something other than text",
}


def clock(duration: float) -> str:
    """Return the length of a sound in seconds as minutes and seconds, such as "1:05"."""
    whole = max(1, round(duration))
    return f"{whole // 60}:{whole % 60:02}"


def purpose(name: str, vision: bool = False, audio: bool = False) -> str:
    """Return what a model is for, from one of PURPOSES, or "" if that is not known."""
    words = _PURPOSES.get(name, "")
    more = " and ".join(word for word, takes in (("images", vision), ("sound", audio)) if takes)
    return f"{words}, with {more}" if words and more else words


def model_label(name: str, purpose_name: str) -> str:
    """Return a model's name for a list, with its purpose if it cannot chat."""
    return name if purpose_name in ("", "generate") else f"{name} ({purpose(purpose_name)})"


_FINISH_REASONS = {
    "length": "maximum reply length reached",
    "context": "context is full",
    "cancelled": "stopped",
}


def statistics(meta: Mapping[str, Any]) -> str:
    """Return the statistics of a reply: speed, length, time to first token, and use of the context."""
    tokens = int(meta.get("generated_tokens") or 0)
    prompt, context = int(meta.get("prompt_tokens") or 0), int(meta.get("context") or 0)
    parts = [rate(tokens, float(meta.get("decode_seconds") or 0)), plural(tokens, "token") if tokens else ""]
    if meta.get("prefill_seconds"):
        parts.append(f"{seconds(float(meta['prefill_seconds']))} to first token")
    if context and prompt:
        parts.append(f"context {prompt + tokens:,} of {context:,}")
    return " · ".join(part for part in parts if part)


def left_out(messages: int) -> str:
    """Return the sentence about messages that did not fit into the context."""
    return f"The prompt did not fit into the context and leaves out {plural(messages, 'older message')}."


def finish_reason(meta: Mapping[str, object]) -> str:
    """Return why a reply was cut short, or "" if the model ended it."""
    return _FINISH_REASONS.get(str(meta.get("reason", "")), "")


def origin(meta: Mapping[str, Any]) -> str:
    """Return which model and loader wrote a reply, on which server, and what was cached and guessed right, for the
    tooltip."""
    parts = [str(meta.get("model") or ""), str(meta.get("loader") or "")]
    if meta.get("served_by"):
        parts.append(f"answered by {meta['served_by']}")
    if meta.get("cached_tokens"):
        parts.append(
            f"{int(meta['cached_tokens']):,} of {int(meta.get('prompt_tokens') or 0):,} prompt tokens were cached"
        )
    if meta.get("drafted_tokens"):
        right, drafted = int(meta.get("accepted_tokens") or 0), int(meta["drafted_tokens"])
        parts.append(f"{right:,} of {drafted:,} drafted tokens were right")
    return " · ".join(part for part in parts if part)
