"""The tokens of what a model wrote into a notebook: the probability of each, and what it might have written instead."""

from __future__ import annotations

import codecs
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.app import App
    from modules.generation.generation import Generation

# Alternatives of each token that the page shows.
ALTERNATIVES = 8


@dataclass(frozen=True)
class TokenView:
    """The tokens of one generation. `before`: the text that it continued. `text`: what it wrote.

    `tokens`: as the page gets them: {"at": the place of its first character in `text`, "text", "probability", "top":
    [{"text", "probability"}, …]}.
    """

    before: str
    text: str
    tokens: tuple[Mapping[str, Any], ...]
    revision: str = field(default_factory=lambda: secrets.token_hex(4))

    @classmethod
    def of(cls, before: str, generation: Generation) -> TokenView:
        """Return the tokens of a generation that has ended."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        tokens: list[Mapping[str, Any]] = []
        at = 0
        for entry in generation.logprobs:
            text = decoder.decode(bytes(entry["bytes"]))
            shown = {"at": at, "text": text or _text(entry["bytes"]), "probability": _probability(entry)}
            others = [(_text(one["bytes"]), _probability(one)) for one in entry["top"]]
            # Half of a character is no text to continue with.
            top = [{"text": one, "probability": share} for one, share in others if "\ufffd" not in one]
            tokens.append({**shown, "top": top})
            at += len(text)
        return cls(before, generation.text, tuple(tokens))

    def shown(self, text: str) -> dict[str, Any]:
        """Return what the page draws, if the notebook's `text` is still what the model wrote; else no tokens."""
        current = text == self.before + self.text
        return {"revision": self.revision, "start": len(self.before), "tokens": list(self.tokens) if current else []}


def why_no_tokens(app: App) -> str:
    """Return why the loaded model cannot report its tokens here, as a sentence, or ""."""
    state = app.supervisor.state
    spec = app.registry.specs.get(state.loader) if state.loader else None
    if spec is None:
        return ""
    if not spec.logprobs:
        return f"{spec.title} does not report the probabilities of tokens. Load the model with another loader."
    if app.extensions.running:
        return "Extensions that are on may change the text, so its tokens cannot be shown. Switch them off first."
    return ""


def _text(data: list[int]) -> str:
    return bytes(data).decode("utf-8", "replace")


def _probability(entry: Mapping[str, Any]) -> float | None:
    """Return e to the log-probability; None if the engine does not know it."""
    logprob = entry.get("logprob")
    return round(math.exp(min(0.0, logprob)), 6) if isinstance(logprob, (int, float)) else None
