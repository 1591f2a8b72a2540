"""Talks to one worker: matches answers to commands, and queues the generations beyond its slots in order."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from modules.generation.generation import Generation
from modules.protocol.commands import Cancel, Command, Generate, Load, Start
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
from modules.protocol.sampling import SamplingParams
from modules.runtime.stall_watch import watch_cancel, watch_grammar
from modules.runtime.worker_exit import WorkerExit
from modules.runtime.worker_process import WorkerProcess
from modules.system.program_name import fill_program_name, program_name

START_SECONDS = 180.0
ANSWER_SECONDS = 60.0
# A long chat is rendered and counted a dozen times until it fits.
PROMPT_SECONDS = 300.0

Report = Callable[[str, "float | None"], None]


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
        self._running: dict[str, Generation] = {}
        self._waiting: deque[Generation] = deque()
        # Running generations that were cancelled, with the error that they end with, if any.
        self._cancelled: dict[str, PaddockError | None] = {}
        self._slots = 1
        self._number = 0
        # The end of the last generation that the engine finished.
        self.last: Finished | None = None
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

    def load(self, path: str, settings: dict[str, Any], report: Report) -> Loaded:
        """Load a model; blocking. Raise the engine's error, or WorkerDied."""
        id = self._next("load")
        self._reports[id] = report
        try:
            loaded: Loaded = self.ask(Load(id, path, settings), timeout=None)
        finally:
            self._reports.pop(id, None)
        self._slots = max(1, loaded.info.slots)
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

    def generate(self, prompt: str, params: SamplingParams, hooks: bool = True) -> Generation:
        """Begin a generation, or queue it when all slots are taken. Returns at once."""
        generation = Generation(self._next("gen"), prompt, params, self._cancel, hooks)
        self._queue(generation)
        return generation

    def generate_chat(self, chat: Generate, opening: bool = False) -> Generation:
        """Let the worker make the prompt of a chat, then begin or queue its generation.

        `opening`: the reasoning that the prompt begins is the beginning of the text. Raises PromptError where there
        can be no prompt, or WorkerDied.
        """
        command = dataclasses.replace(chat, id=self._next("gen"), start=False)
        try:
            prompted: Prompted = self.ask(command, timeout=PROMPT_SECONDS)
        except PaddockError:
            self.process.send(Cancel(command.id))
            raise
        begin = prompted.opening if opening else ""
        generation = Generation(command.id, "", command.params, self._cancel, command.hooks, begin)
        generation.prompted = prompted
        generation.prompt_length = sum(len(str(message.get("content"))) for message in command.messages)
        self._queue(generation)
        return generation

    def _queue(self, generation: Generation) -> None:
        with self._lock:
            exit = self._exit
            if exit is None:
                self._waiting.append(generation)
        if exit is not None:
            generation.fail(exit.error())
        self._advance()

    def stop(self) -> None:
        """Cancel everything and end the worker."""
        with self._lock:
            generations = [*self._waiting, *self._running.values()]
        for generation in generations:
            self._cancel(generation.id)
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

    def _cancel(self, id: str, why: PaddockError | None = None) -> None:
        """Stop a generation. `why`: the error that it ends with. Kill an engine that does not stop it."""
        with self._lock:
            waiting = next((generation for generation in self._waiting if generation.id == id), None)
            if waiting is not None:
                self._waiting.remove(waiting)
            running = self._running.get(id)
            first = running is not None and id not in self._cancelled
            if running is not None and first:
                self._cancelled[id] = why
        if waiting is not None:
            if waiting.prompted is not None:
                self.process.send(Cancel(id))
            waiting.finish(Finished(id, "cancelled"))
        elif running is not None and first:
            self.process.send(Cancel(id))
            watch_cancel(running, self._stuck)

    def _stuck(self, seconds: float) -> None:
        self.process.kill(
            f"{self.spec.title} did not stop a reply within {seconds:.0f} seconds, so it was ended. The text so far is "
            "kept. The model is loaded again: try again once it is ready."
        )

    def _advance(self) -> None:
        """Send waiting generations to the worker, in order, while it has free slots."""
        while True:
            with self._lock:
                if not self._waiting or len(self._running) >= self._slots or self._exit is not None:
                    return
                generation = self._waiting.popleft()
                self._running[generation.id] = generation
            self.process.send(_begin_command(generation))
            if generation.params.grammar_string.strip() or generation.params.json_schema.strip():
                watch_grammar(generation, lambda error, id=generation.id: self._cancel(id, error))  # type: ignore[misc]

    def _event(self, event: Event) -> None:
        if isinstance(event, Chunk):
            if generation := self._running.get(event.id):
                generation.feed(event.text, event.tokens)
        elif isinstance(event, Finished):
            self._end_generation(event.id, event)
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
        if event.id in self._running:
            self._end_generation(event.id, error)
        elif future := self._futures.get(event.id):
            future.set_exception(error)

    def _resolve(self, id: str, value: object) -> None:
        if future := self._futures.get(id):
            future.set_result(value)

    def _end_generation(self, id: str, end: Finished | PaddockError) -> None:
        with self._lock:
            generation = self._running.pop(id, None)
            end = self._cancelled.pop(id, None) or end
        if generation is not None:
            if isinstance(end, Finished):
                self.last = end
                generation.finish(end)
            else:
                generation.fail(end)
        self._advance()

    def _ended(self, exit: WorkerExit) -> None:
        error = exit.error()
        with self._lock:
            self._exit = exit
            futures = list(self._futures.values())
            generations = [*self._running.values(), *self._waiting]
            cancelled = dict(self._cancelled)
            self._running.clear()
            self._waiting.clear()
        try:
            self._on_exit(exit)
        finally:
            for future in [self._ready, *futures]:
                if not future.done():
                    future.set_exception(error)
            for generation in generations:
                if why := cancelled.get(generation.id):
                    generation.fail(why)
                elif exit.cause == "unloaded" or generation.id in cancelled:
                    generation.finish(Finished(generation.id, "cancelled", generated_tokens=generation.tokens))
                else:
                    generation.fail(error)


def _begin_command(generation: Generation) -> Generate | Start:
    if generation.prompted is not None:
        return Start(generation.id)
    return Generate(generation.id, generation.prompt, generation.params, generation.hooks)
