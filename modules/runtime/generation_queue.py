"""The generations of one worker: those that it works on, and those that wait for a slot, clients taking turns."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from modules.generation.generation import Generation
from modules.protocol.commands import Cancel, Command, Generate, Start
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.runtime.stall_watch import watch_cancel, watch_grammar
from modules.runtime.waiting_generations import WaitingGenerations, check_room
from modules.runtime.worker_exit import WorkerExit

# How often a thread that waits for the end of all generations looks whether it still has to.
_LOOK_SECONDS = 0.25


class AnotherModel(PaddockError):
    """No generation can begin, because another model is about to be loaded in place of this one."""

    def __init__(self) -> None:
        super().__init__("Another model is being loaded. Wait until it is ready.")


class GenerationQueue:
    """Sends generations to a worker while it has free slots. Thread-safe.

    `title`: the loader's; `send`: sends a command to the worker; `kill`: kills it, with a sentence why. `slots`: how
    many generations it works on at once. `last`: how the last generation that the engine finished ended. `ended_at`:
    when the last one ended (time.monotonic), 0 before the first.
    """

    def __init__(self, title: str, send: Callable[[Command], None], kill: Callable[[str], None]) -> None:
        self.slots = 1
        self.last: Finished | None = None
        self.ended_at = 0.0
        self._title = title
        self._send = send
        self._kill = kill
        self._changed = threading.Condition()
        self._running: dict[str, Generation] = {}
        self._waiting = WaitingGenerations()
        # Running generations that were cancelled, with the error that they end with, if any.
        self._cancelled: dict[str, PaddockError | None] = {}
        # Client -> its generations whose prompt is being made.
        self._entering: Counter[str] = Counter()
        self._refusing = False
        self._exit: WorkerExit | None = None

    @property
    def refusing(self) -> bool:
        """True between `drain` and `resume`."""
        return self._refusing

    @contextlib.contextmanager
    def entering(self, client: str = "") -> Iterator[None]:
        """Keep the model loaded while a generation is prepared and added. Raise AnotherModel after `drain`, QueueFull
        if too many of API clients wait. `client`: who asked, "" for the page."""
        with self._changed:
            if self._refusing:
                raise AnotherModel
            if client:
                waiting = len(self._waiting) + self._entering.total()
                own = self._waiting.count(client) + self._entering[client]
                check_room(waiting, own, self.last.decode_seconds if self.last else 0.0)
            self._entering[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._entering -= Counter([client])
                self._changed.notify_all()

    def add(self, generation: Generation) -> None:
        """Begin a generation, or let it wait for a slot."""
        with self._changed:
            exit = self._exit
            if exit is None:
                self._waiting.add(generation)
        if exit is not None:
            generation.fail(exit.error())
        self._advance()

    @property
    def busy(self) -> bool:
        """True while a generation runs, waits or is prepared."""
        with self._changed:
            return bool(self._entering or len(self._waiting) or self._running)

    def lengths(self) -> tuple[int, int]:
        """Return how many generations run, and how many wait for a slot."""
        with self._changed:
            return len(self._running), len(self._waiting)

    def running(self, id: str) -> Generation | None:
        """Return the running generation of that id, or None."""
        return self._running.get(id)

    def drain(self, stop: Callable[[], bool]) -> bool:
        """Wait until there is no generation, then refuse new ones until `resume`. Return False if `stop()` first."""
        with self._changed:
            while self._exit is None and self.busy:
                if stop():
                    return False
                self._changed.wait(_LOOK_SECONDS)
            self._refusing = not stop()
            return self._refusing

    def resume(self) -> None:
        """Accept generations again."""
        with self._changed:
            self._refusing = False

    def cancel(self, id: str, why: PaddockError | None = None) -> None:
        """Stop a generation. `why`: the error that it ends with. Kill an engine that does not stop it."""
        with self._changed:
            waiting = self._waiting.remove(id)
            if waiting is not None:
                self.ended_at = time.monotonic()
                self._changed.notify_all()
            running = self._running.get(id)
            first = running is not None and id not in self._cancelled
            if running is not None and first:
                self._cancelled[id] = why
        if waiting is not None:
            if waiting.prompted is not None:
                self._send(Cancel(id))
            waiting.finish(Finished(id, "cancelled"))
        elif running is not None and first:
            self._send(Cancel(id))
            watch_cancel(running, self._stuck)

    def cancel_all(self) -> None:
        """Stop all generations."""
        with self._changed:
            generations = [*self._waiting, *self._running.values()]
        for generation in generations:
            self.cancel(generation.id)

    def end(self, id: str, end: Finished | PaddockError) -> None:
        """End a running generation as the worker says, and begin the next one."""
        with self._changed:
            generation = self._running.pop(id, None)
            end = self._cancelled.pop(id, None) or end
            self.ended_at = time.monotonic()
            self._changed.notify_all()
        if generation is not None:
            if isinstance(end, Finished):
                self.last = end
                generation.finish(end)
            else:
                generation.fail(end)
        self._advance()

    def close(self, exit: WorkerExit) -> Callable[[], None]:
        """Take no more generations, as the worker has ended. Return a function that ends those there are."""
        with self._changed:
            self._exit = exit
            generations = [*self._running.values(), *self._waiting]
            cancelled = dict(self._cancelled)
            self._running.clear()
            self._waiting.clear()
            self._changed.notify_all()

        def end_all() -> None:
            for generation in generations:
                if why := cancelled.get(generation.id):
                    generation.fail(why)
                elif exit.cause == "unloaded" or generation.id in cancelled:
                    generation.finish(Finished(generation.id, "cancelled", generated_tokens=generation.tokens))
                else:
                    generation.fail(exit.error())

        return end_all

    def _stuck(self, seconds: float) -> None:
        self._kill(
            f"{self._title} did not stop a reply within {seconds:.0f} seconds, so it was ended. The text so far is "
            "kept. The model is loaded again: try again once it is ready."
        )

    def _advance(self) -> None:
        """Send waiting generations to the worker while it has free slots."""
        while True:
            with self._changed:
                if not len(self._waiting) or len(self._running) >= self.slots or self._exit is not None:
                    return
                generation = self._waiting.take(Counter(one.client for one in self._running.values()))
                self._running[generation.id] = generation
            self._send(_begin_command(generation))
            if generation.params.grammar_string.strip() or generation.params.json_schema.strip():
                watch_grammar(generation, lambda error, id=generation.id: self.cancel(id, error))  # type: ignore[misc]


def _begin_command(generation: Generation) -> Generate | Start:
    if generation.prompted is not None:
        return Start(generation.id)
    return Generate(
        generation.id, generation.prompt, generation.params, generation.hooks, logprobs=generation.top_logprobs
    )
