"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def short_count(number: float) -> str:
    """8030261248 -> "8.0 B", 5200000 -> "5.2 M": parameters of a model."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number:.0f}"


def plural(number: int, one: str) -> str:
    """(1, "token") -> "1 token", (1200, "token") -> "1,200 tokens"."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def seconds(duration: float) -> str:
    """0.412 -> "0.41 s", 75 -> "1 min 15 s"."""
    if duration < 60:
        return f"{duration:.2f} s" if duration < 10 else f"{duration:.0f} s"
    return f"{int(duration // 60)} min {int(duration % 60)} s"


def rate(tokens: int, duration: float) -> str:
    """Tokens a second, or "" where the time is too short to say."""
    return f"{tokens / duration:.1f} tokens/s" if duration > 0 and tokens > 1 else ""


_PURPOSES = {
    "generate": "chats and text",
    "embed": "embeddings",
    "rerank": "reranking",
    "classify": "labels",
    "encode": "an encoder",
    "encode-decode": "an encoder-decoder",
    "other": "no text",
}


def purpose(name: str, vision: bool = False) -> str:
    """What a model is for: one of PURPOSES in words, "" where it is not known."""
    words = _PURPOSES.get(name, "")
    return f"{words}; takes images too" if words and vision else words


def model_label(name: str, purpose_name: str) -> str:
    """A model in a list: its name, and what it is for where that is no chat."""
    return name if purpose_name in ("", "generate") else f"{name} ({purpose(purpose_name)})"


_FINISH_REASONS = {
    "length": "longest reply reached",
    "context": "context is full",
    "cancelled": "stopped",
}


def statistics(meta: Mapping[str, Any]) -> str:
    """The numbers of a reply: speed, length, time to the first token, and use of the context."""
    tokens = int(meta.get("generated_tokens") or 0)
    prompt, context = int(meta.get("prompt_tokens") or 0), int(meta.get("context") or 0)
    parts = [rate(tokens, float(meta.get("decode_seconds") or 0)), plural(tokens, "token") if tokens else ""]
    if meta.get("prefill_seconds"):
        parts.append(f"first after {seconds(float(meta['prefill_seconds']))}")
    if context and prompt:
        parts.append(f"context {prompt + tokens:,} of {context:,}")
    return " · ".join(part for part in parts if part)


def finish_reason(meta: Mapping[str, Any]) -> str:
    """Why a reply is shorter than it might be; "" for one that ended by itself."""
    return _FINISH_REASONS.get(str(meta.get("reason", "")), "")


def origin(meta: Mapping[str, Any]) -> str:
    """Which model and loader wrote a reply, and how much of the prompt was still known; for the tooltip."""
    parts = [str(meta.get("model") or ""), str(meta.get("loader") or "")]
    if meta.get("cached_tokens"):
        parts.append(
            f"{int(meta['cached_tokens']):,} of {int(meta.get('prompt_tokens') or 0):,} prompt tokens were cached"
        )
    return " · ".join(part for part in parts if part)
