"""What a loader's worker.py implements: a class `Engine(EngineBase)`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.protocol.commands import Generate
from modules.protocol.errors import Unsupported
from modules.protocol.events import ModelInfo
from modules.worker.hook_runner import Hooks
from modules.worker.template_process import TemplateProcess

# report(text, fraction): fraction from 0 to 1, or None where the engine does not tell.
Report = Callable[[str, "float | None"], None]


@dataclass(frozen=True)
class Piece:
    """Text of whole characters as it arrives, and the number of tokens it took."""

    text: str
    tokens: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a generation ended; the fields are those of events.Finished."""

    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cut_tokens: int = 0
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    seed: int = -1


class EngineBase(ABC):
    """One engine with at most one model.

    `load` and `unload` run on the main thread; `generate` runs on as many threads at once as `ModelInfo.slots` says
    (one: the main thread). The tokenizer's verbs may be called while a generation runs. `hooks`: those of extensions;
    an engine whose spec says `logits_hooks` passes tokens and logits through them. `templates`: renders chat templates,
    for an engine that learns from the model's what ends a reply; it starts them while it loads.
    """

    hooks: Hooks | None = None
    templates: TemplateProcess | None = None
    # True once a model is loaded whose chats are rendered elsewhere: `generate` then gets them in `request.messages`,
    # with `request.continue_last`.
    takes_messages: bool = False

    def hooks_of(self, request: Generate) -> Hooks | None:
        """Those that take part in this generation, None where there are none."""
        return self.hooks if self.hooks and request.hooks else None

    @abstractmethod
    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        """Load the model. Raises ModelError, OutOfMemory, SettingError with a sentence and a next step."""

    @abstractmethod
    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        """Yield text as it arrives; return the outcome. Look at `cancelled` at least once a token."""

    @abstractmethod
    def tokenize(self, text: str, special: bool) -> list[int]:
        """Token ids of `text`. `special`: it is a prompt: names of special tokens in it are those tokens, and BOS is
        added if the model wants it."""

    @abstractmethod
    def detokenize(self, tokens: list[int]) -> str:
        """The text of these tokens."""

    def transformers_parts(self) -> tuple[Any, Any] | None:
        """(model, tokenizer) of Transformers for extensions' hooks, where this engine has them."""
        return None

    def unload(self) -> None:  # noqa: B027 (most engines need nothing here)
        """Free what needs freeing before the process ends. Memory goes with the process."""

    def next_token_probabilities(self, prompt: str, top: int) -> list[dict[str, Any]]:
        """[{"token", "text", "probability"}], likeliest first."""
        raise Unsupported("This loader cannot show next-token probabilities. Choose another loader for that.")

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        raise Unsupported("This loader cannot make embeddings. Choose another loader for that.")

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        """Use these LoRA adapters (path -> weight, 1: as they were trained; negative is allowed) and no others.

        Nothing that was read under others is used again. Raises ModelError; the model then goes on as before."""
        raise Unsupported("This loader cannot apply LoRA adapters. Choose another loader for that.")
