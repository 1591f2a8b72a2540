"""What the one worker is doing, as everybody else sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo

PHASES = ("empty", "installing", "starting", "loading", "ready", "failed")


@dataclass(frozen=True)
class ModelState:
    """`phase` is one of PHASES; `text` and `fraction` tell how far it is; `error` why it failed; `adapters`: the LoRA
    adapters that are applied, name -> weight.

    In the phase "ready" the text is of an install that the next model waits for, and the error why that one failed."""

    phase: str = "empty"
    model: str = ""
    loader: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    info: ModelInfo | None = None
    text: str = ""
    fraction: float | None = None
    error: PaddockError | None = None
    load_seconds: float = 0.0
    adapters: dict[str, float] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether a load is under way."""
        return self.phase in ("installing", "starting", "loading")


@dataclass(frozen=True)
class ChatPromptResult:
    """A rendered chat: the prompt, its length in tokens, and where its template came from. `opening`: the end of the
    prompt that begins the reply's reasoning, such as "<think>"; it belongs before the reply."""

    prompt: str
    tokens: int
    template: str
    opening: str = ""
