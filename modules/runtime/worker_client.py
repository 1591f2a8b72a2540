"""Talks to one worker: sends commands and matches answers to them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from modules.generation.generation import Generation
from modules.protocol.commands import Cancel, Command, Generate, Load
from modules.protocol.errors import EnvironmentBroken, PaddockError, error_from_code
from modules.protocol.events import (
    PROTOCOL_VERSION,
    Chunk,
    Event,
    Failed,
    Finished,
    HookEvent,
    HookFailed,
    HookPrinted,
    HookStored,
    Loaded,
    Log,
    Progress,
    Prompted,
    Ready,
    Result,
)
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Projector
from modules.protocol.sampling import SamplingParams
from modules.runtime.generation_queue import GenerationQueue
from modules.runtime.worker_exit import WorkerExit
from modules.runtime.worker_process import WorkerProcess
from modules.system.program_name import fill_program_name, program_name

START_SECONDS = 180.0
ANSWER_SECONDS = 60.0
# A long chat is rendered and counted a dozen times until it fits.
PROMPT_SECONDS = 300.0

Report = Callable[[str, "float | None"], None]

# An image or a minute of sound takes as long to read as so many characters of text, or less.
_MEDIUM_CHARACTERS = 6000


class WorkerClient:
    """One worker from its start to its end. `on_exit` is called once when it ends, in any way."""

    def __init__(
        self,
        spec: LoaderSpec,
        python: Path,
        root: Path,
        on_exit: Callable[[WorkerExit], None],
        on_hook: Callable[[HookEvent], None] = lambda event: None,
        **environment: str,
    ) -> None:
        self.spec = spec
        self._on_hook = on_hook
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._ready: Future[Ready] = Future()
        self._futures: dict[str, Future[Any]] = {}
        self._reports: dict[str, Report] = {}
        self._number = 0
        self.queue = GenerationQueue(
            spec.title, lambda command: self.process.send(command), lambda why: self.process.kill(why)
        )
        self._exit: WorkerExit | None = None
        self.process = WorkerProcess(spec, python, root, self._event, self._ended, environment)

    def start(self) -> None:
        """Wait until the worker has imported its engine. Raise EnvironmentBroken or WorkerDied."""
        try:
            ready = self._ready.result(START_SECONDS)
        except FutureTimeout:
            raise EnvironmentBroken(
                f"{self.spec.title} did not start within {START_SECONDS:g} seconds. {self._rebuild()}",
                detail="\n".join(self.process.stderr),
            ) from None
        if ready.protocol != PROTOCOL_VERSION:
            raise EnvironmentBroken(
                f"{self.spec.title} uses version {ready.protocol} of the protocol, Paddock version {PROTOCOL_VERSION}. "
                f"{self._rebuild()}"
            )

    def load(
        self,
        path: str,
        settings: Mapping[str, object],
        report: Report,
        projectors: Sequence[Projector] = (),
        purpose: str = "generate",
    ) -> Loaded:
        """Load a model; blocking. `purpose`: as in commands.Load. Raise the engine's error, or WorkerDied."""
        id = self._next("load")
        self._reports[id] = report
        try:
            command = Load(id, path, dict(settings), [vars(one) for one in projectors], purpose)
            loaded: Loaded = self.ask(command, timeout=None)
        finally:
            self._reports.pop(id, None)
        self.queue.slots = max(1, loaded.info.slots)
        return loaded

    def ask(self, command: Command, timeout: float | None = ANSWER_SECONDS) -> Any:
        """Send a command that has one answer, and return the answer. Raise its error, or WorkerDied."""
        future: Future[Any] = Future()
        with self._lock:
            if self._exit is not None:
                raise self._exit.error()
            self._futures[command.id] = future
        self.process.send(command)
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise PaddockError(
                f"{self.spec.title} did not answer within {timeout:g} seconds. Stop the running reply and try again, "
                "or unload the model."
            ) from None
        finally:
            self._futures.pop(command.id, None)

    def ask_with_progress(self, command: Command, report: Report) -> Any:
        """Send a command that reports its progress, and wait for its answer without a limit of time."""
        self._reports[command.id] = report
        try:
            return self.ask(command, timeout=None)
        finally:
            self._reports.pop(command.id, None)

    def generate(
        self, prompt: str, params: SamplingParams, hooks: bool = True, client: str = "", top_logprobs: int = -1
    ) -> Generation:
        """Begin a generation, or queue it when all slots are taken. Returns at once. `client`: who asked for it."""
        with self.queue.entering(client):
            generation = Generation(
                self._next("gen"), prompt, params, self.queue.cancel, hooks, client=client, top_logprobs=top_logprobs
            )
            self.queue.add(generation)
        return generation

    def generate_chat(self, chat: Generate, opening: bool = False, client: str = "") -> Generation:
        """Let the worker make the prompt of a chat, then begin or queue its generation.

        `opening`: the reasoning that the prompt begins is the beginning of the text. `client`: who asked for it. Raises
        PromptError where there can be no prompt, or WorkerDied.
        """
        with self.queue.entering(client):
            command = dataclasses.replace(chat, id=self._next("gen"), start=False)
            try:
                prompted: Prompted = self.ask(command, timeout=PROMPT_SECONDS)
            except PaddockError:
                self.process.send(Cancel(command.id))
                raise
            begin = prompted.opening if opening else ""
            generation = Generation(command.id, "", command.params, self.queue.cancel, command.hooks, begin, client)
            generation.prompted = prompted
            generation.prompt_length = sum(_reading_length(message.get("content")) for message in command.messages)
            self.queue.add(generation)
        return generation

    def stop(self) -> None:
        """Cancel everything and end the worker."""
        self.queue.cancel_all()
        self.process.stop()

    def next_id(self) -> str:
        """Return a new id for a command."""
        return self._next("ask")

    def _next(self, kind: str) -> str:
        with self._lock:
            self._number += 1
            return f"{kind}-{self._number}"

    def _rebuild(self) -> str:
        return f"Rebuild its environment: {program_name()} install {self.spec.name} --rebuild"

    def _event(self, event: Event) -> None:
        if isinstance(event, Chunk):
            if generation := self.queue.running(event.id):
                generation.feed(event.text, event.tokens, event.logprobs)
        elif isinstance(event, Finished):
            self.queue.end(event.id, event)
        elif isinstance(event, Progress):
            if report := self._reports.get(event.id):
                report(event.text, event.fraction)
        elif isinstance(event, Ready):
            self._ready.set_result(event)
        elif isinstance(event, Failed):
            self._failed(event)
        elif isinstance(event, (Loaded, Prompted)):
            self._resolve(event.id, event)
        elif isinstance(event, Result):
            self._resolve(event.id, event.value)
        elif isinstance(event, HookFailed):
            self.process.note(f"extension {event.extension}: {event.message}")
            self._on_hook(event)
        elif isinstance(event, (HookPrinted, HookStored)):
            self._on_hook(event)
        elif isinstance(event, Log):
            self.process.note(f"{event.level}: {event.text}")

    def _failed(self, event: Failed) -> None:
        error = error_from_code(
            event.code, fill_program_name(event.message), detail=event.detail, lower=tuple(event.lower)
        )
        if self.queue.running(event.id):
            self.queue.end(event.id, error)
        elif future := self._futures.get(event.id):
            future.set_exception(error)

    def _resolve(self, id: str, value: object) -> None:
        if future := self._futures.get(id):
            future.set_result(value)

    def _ended(self, exit: WorkerExit) -> None:
        error = exit.error()
        with self._lock:
            self._exit = exit
            futures = list(self._futures.values())
        end_generations = self.queue.close(exit)
        try:
            self._on_exit(exit)
        finally:
            for future in [self._ready, *futures]:
                if not future.done():
                    future.set_exception(error)
            end_generations()


def _reading_length(content: object) -> int:
    """Return how many characters take as long to read as a message: its text, images and sounds."""
    parts = content if isinstance(content, list) else [{"text": str(content)}]
    return sum(len(part["text"]) if "text" in part else _MEDIUM_CHARACTERS for part in parts)
