"""The base class of the class `Engine` in a loader's worker.py."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.protocol.commands import Generate
from modules.protocol.errors import Unsupported
from modules.protocol.events import ModelInfo, ReplyLogprob, RerankResult, ScoreResult, TokenProbability
from modules.protocol.model_facts import Projector
from modules.protocol.model_purpose import READERS
from modules.worker.batch_pace import BatchPace
from modules.worker.hook_runner import Hooks
from modules.worker.template_process import TemplateProcess

_LOADS_NONE = "This loader makes models and loads none. Choose another loader."
# report(text, fraction): fraction from 0 to 1, or None if the engine does not report it.
Report = Callable[[str, "float | None"], None]
# What is embedded: a text, or its token ids.
EmbedInput = str | list[int]


@dataclass(frozen=True)
class Piece:
    """Generated text of whole characters, its number of tokens, and their `logprobs` as in events.Chunk."""

    text: str
    tokens: int = 1
    logprobs: tuple[ReplyLogprob, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a generation ended. The fields are those of events.Finished."""

    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cut_tokens: int = 0
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    seed: int = -1
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    served_by: str = ""


class EngineBase(ABC):
    """One engine with at most one model.

    `load` and `unload` run on the main thread. `generate` runs on up to `ModelInfo.slots` threads at once (with one
    slot: on the main thread). `tokenize` and `detokenize` may be called while a generation runs. `hooks`: hooks of
    extensions; an engine whose spec has `logits_hooks` passes tokens and logits through them. `templates`: renders chat
    templates, for an engine that finds the end-of-turn token in the model's template; such an engine calls
    `templates.start()` while it loads. `purpose`: what the model to load is for, one of those in `LoaderSpec.purposes`.
    `pace`: how long text is batched on its way to the host, for an engine that batches it too.
    """

    hooks: Hooks | None = None
    templates: TemplateProcess | None = None
    pace: BatchPace | None = None
    purpose: str = "generate"
    # True for a loaded model whose chats are rendered by another program: `generate` then gets them in
    # `request.messages`, with `request.continue_last`.
    takes_messages: bool = False
    # True for one that gets chats in messages only if they have images or sounds.
    media_as_messages: bool = False
    # Files beside a GGUF model that make tokens of images or sound, set before `load`; the best first.
    projectors: tuple[Projector, ...] = ()
    # Of a loaded model that sees images or hears: what stands for one in a prompt, and True if chat templates that read
    # parts write it themselves.
    image_mark: str = ""
    audio_mark: str = ""
    typed_media: bool = False

    @property
    def reads_only(self) -> bool:
        """True if the model to load reads texts and writes none: for embeddings or reranking."""
        return self.purpose in READERS

    def hooks_of(self, request: Generate) -> Hooks | None:
        """Return the hooks that take part in this generation, or None."""
        return self.hooks if self.hooks and request.hooks else None

    @abstractmethod
    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        """Load the model. Raises ModelError, OutOfMemory or SettingError."""

    @abstractmethod
    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        """Yield text as it is generated, and return the outcome. Check `cancelled` at least once per token."""

    @abstractmethod
    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`. `special`: as of a prompt: parse names of special tokens, and add BOS if the
        model uses it."""

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each of these texts has by itself. An engine that is asked over a connection answers
        for all at once."""
        return [len(self.tokenize(text, False)) for text in texts]

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        """Return the length of a prompt. `media`: as in commands.Generate. Raises PromptError for one that cannot be
        read."""
        return len(self.tokenize(prompt, True))

    @abstractmethod
    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text, which may be a part of a character."""
        return self.detokenize([token]).encode("utf-8", "replace")

    def transformers_parts(self) -> tuple[object, object] | None:
        """Return Transformers' (model, tokenizer) for hooks of extensions, or None if this engine has none."""
        return None

    def unload(self) -> None:  # noqa: B027 (most engines need nothing here)
        """Release resources other than memory, such as files. The process ends next."""

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        """Return [{"token", "text", "probability"}], likeliest first."""
        raise Unsupported("This loader cannot show next-token probabilities. Choose another loader for that.")

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        """Return one vector for each input, a text or token ids. The caller scales them to length 1."""
        raise Unsupported("This loader cannot make embeddings. Choose another loader for that.")

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        """Score how well each document answers the query, from 0 to 1. Raises PromptError."""
        raise Unsupported("This loader cannot rerank. Choose another loader for that.")

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        """Write the logits that predict `tokens[first:]` to `file`; shape and answer are those of commands.Score."""
        raise Unsupported(
            "This loader does not expose logits, so perplexity cannot be measured. Choose another loader."
        )

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        """Apply these LoRA adapters (path -> weight; 1: as trained; may be negative) and no others.

        Discard caches that were computed with other adapters. Raises ModelError; the previous adapters then stay.
        """
        raise Unsupported("This loader cannot apply LoRA adapters. Choose another loader for that.")


class NoEngine(EngineBase):
    """The engine of a loader that only quantizes."""

    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        raise Unsupported(_LOADS_NONE)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        raise Unsupported(_LOADS_NONE)

    def tokenize(self, text: str, special: bool) -> list[int]:
        raise Unsupported(_LOADS_NONE)

    def detokenize(self, tokens: list[int]) -> str:
        raise Unsupported(_LOADS_NONE)
