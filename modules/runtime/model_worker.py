"""One worker process together with the model that it loads and the adapters that it applies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from modules.protocol.commands import (
    ApplyAdapter,
    ChatPrompt,
    Detokenize,
    Embed,
    NextTokenProbabilities,
    Rerank,
    Score,
    Tokenize,
)
from modules.protocol.errors import PaddockError
from modules.protocol.events import ChatPromptResult, HookEvent, Loaded, RerankResult, ScoreResult, TokenProbability
from modules.protocol.schema import changed_values
from modules.runtime.load_request import LoadRequest, WeightedAdapter
from modules.runtime.memory_watch import MemoryWatch, OnCards
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.worker_client import Report, WorkerClient
from modules.runtime.worker_exit import WorkerDied, WorkerExit

T = TypeVar("T")
SCORE_SECONDS = 3600.0
# Folders that workers may read, and folders that they may write.
SandboxFolders = tuple[Sequence[Path], Sequence[Path]]


class ModelWorker:
    """Starts with its construction and ends with `stop`. Its methods block and raise PaddockError.

    `on_exit` is called once, with this worker, however the process ends. `on_cards` is MemoryWatch's.
    """

    def __init__(
        self,
        request: LoadRequest,
        python: Path,
        root: Path,
        folders: SandboxFolders,
        on_exit: Callable[[ModelWorker, WorkerExit], None],
        on_hook: Callable[[HookEvent], None],
        on_cards: OnCards | None,
    ) -> None:
        self._spread = spread = request.spread(request)
        if spread:
            request = dataclasses.replace(request, automatic={**request.automatic, **spread.settings})
        self.request = request
        self._on_cards = on_cards
        # Those to apply, also if the engine refused them.
        self.adapters: tuple[WeightedAdapter, ...] = tuple(request.adapters)
        self.memory: MemoryWatch | None = None

        def ended(exit: WorkerExit) -> None:
            if spread:
                spread.end()
            on_exit(self, exit)

        self.client = WorkerClient(
            request.spec,
            python,
            root,
            ended,
            on_hook,
            **sandbox_variables(Path(request.facts.path), *folders),
            **request.variables,
            # They are of this worker alone: a load that is repeated may have other machines.
            **(spread.variables if spread else {}),
        )

    @property
    def pid(self) -> int:
        """The process number."""
        return self.client.process.pid

    def load(self, report: Report) -> Loaded:
        """Load the model of the request into the started worker, and into those of other machines."""
        facts = self.request.facts
        if self._spread:
            self._spread.prepare(report, lambda why: self.client.process.kill(why, "node"))
        self.memory = MemoryWatch(self.pid, str(Path(facts.path).resolve()), self._on_cards)
        settings, purpose = changed_values(self.request.used_settings), facts.purpose or "generate"
        loaded = self.client.load(facts.path, settings, report, facts.projectors, purpose)
        self.memory.record_load()
        self.client.process.compile_bytecode()
        if self._spread:
            loaded.info.notes.append(self._spread.note)
        return loaded

    def stop(self) -> None:
        """End the worker, also while it is loading."""
        try:
            if self.memory is not None:
                self.memory.close()
        finally:
            self.client.stop()

    def apply_adapters(self, adapters: Sequence[WeightedAdapter]) -> None:
        """Apply these LoRA adapters and no others, after the running replies. If the engine refuses them, the previous
        ones stay."""
        weights = {adapter.path: weight for adapter, weight in adapters}
        # The worker waits for the running replies first, so no time limit is right.
        self.client.ask(ApplyAdapter(self.client.next_id(), weights), timeout=None)
        self.adapters = tuple(adapters)

    def try_adapters(self, adapters: Sequence[WeightedAdapter]) -> list[str]:
        """Apply these adapters. If the engine refuses them, apply none and return a sentence. Raise WorkerDied."""
        if not adapters:
            return []
        try:
            self.apply_adapters(adapters)
        except WorkerDied:
            raise
        except PaddockError as error:
            return [f"No LoRA adapter is applied. {error.message}"]
        return []

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`."""
        return list(self.client.ask(Tokenize(self.client.next_id(), text, special)))

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""
        return str(self.client.ask(Detokenize(self.client.next_id(), tokens)))

    def token_bytes(self, tokens: list[int]) -> list[bytes]:
        """Return the bytes that each of these tokens adds to a text."""
        return [bytes(one) for one in self.client.ask(Detokenize(self.client.next_id(), tokens, apart=True))]

    def score(self, tokens: list[int], first: int, read: Callable[[Path, ScoreResult], T]) -> T:
        """Return what `read` makes of the file of logits and the answer to commands.Score."""
        id = self.client.next_id()
        # In the folder that the worker may write.
        file = self.client.process.folder / f"{id}.logits"
        try:
            return read(file, self.client.ask(Score(id, tokens, first, str(file)), timeout=SCORE_SECONDS))
        finally:
            file.unlink(missing_ok=True)

    def chat_prompt(
        self, messages: Sequence[Mapping[str, object]], template: str, continue_last: bool, variables: dict[str, object]
    ) -> ChatPromptResult:
        """Render a chat as a prompt."""
        command = ChatPrompt(self.client.next_id(), messages, template, continue_last, variables)
        return ChatPromptResult(**self.client.ask(command))

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        """Return the `top` likeliest next tokens: [{"token", "text", "probability"}]."""
        return list(self.client.ask(NextTokenProbabilities(self.client.next_id(), prompt, top)))

    def embed(self, inputs: list[str | list[int]]) -> tuple[list[list[float]], int]:
        """Return a vector of length 1 for each text or list of token ids, and the number of tokens."""
        answer = self.client.ask(Embed(self.client.next_id(), inputs), timeout=None)
        return answer["vectors"], answer["tokens"]

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        """Return how well each document answers the query."""
        return RerankResult(**self.client.ask(Rerank(self.client.next_id(), query, documents), timeout=None))
