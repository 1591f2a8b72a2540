"""Owns one worker: loads and unloads its model, and publishes what it is doing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError
from modules.protocol.events import Loaded, ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.runtime.environment import Environments
from modules.runtime.generation_queue import GenerationQueue
from modules.runtime.install_for_load import install_for_load
from modules.runtime.load_request import LoadRequest, WeightedAdapter, adapter_weights
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.memory_watch import MemoryWatch, OnCards
from modules.runtime.model_state import ModelState
from modules.runtime.model_worker import ModelWorker, SandboxFolders
from modules.runtime.state_store import StateStore, Superseded
from modules.runtime.worker_exit import WorkerDied, WorkerExit
from modules.runtime.worker_hooks import WorkerHooks
from modules.system.listeners import Listeners
from modules.system.threads import explain_errors, host_thread

MemoryOf = Callable[[int], int]
# Called with the memory that a worker used: right after its load, and before it is shut down.
OnMeasured = Callable[[LoadRequest, ModelInfo, MemoryWatch], None]


class Supervisor(LoadedModel):
    """Owns at most one worker. Loads and unloads run one after another; all other methods are safe from any thread.

    `memory_of` returns the resident bytes of a process and its children. `folders`: what workers may read and write.
    `hooks`: what extensions run in workers; several supervisors may share them. `on_cards`: as for MemoryWatch.
    """

    def __init__(
        self,
        root: Path,
        environments: Environments,
        memory_of: MemoryOf,
        folders: SandboxFolders = ((), ()),
        hooks: WorkerHooks | None = None,
        on_cards: OnCards | None = None,
    ) -> None:
        self._root = root
        self._environments = environments
        self._folders = folders
        self._memory_of = memory_of
        self._on_cards = on_cards
        # Held for the whole of a load or an unload.
        self._switch = threading.Lock()
        self._adapting = threading.Lock()
        self._lock = threading.Lock()
        self._worker: ModelWorker | None = None
        self._on_measured: OnMeasured = lambda request, info, watch: None
        # The number of the latest load or unload. An older one that has not begun yet does not begin.
        self._latest = 0
        self.hooks = hooks or WorkerHooks()
        self.state_store = StateStore()
        # Callbacks for each generation that begins.
        self.generations = Listeners[Callable[[Generation], None]]()

    @property
    def state(self) -> ModelState:
        """The current state. Subscribe to `state_store` for changes."""
        return self.state_store.state

    @property
    def changing(self) -> bool:
        """True while a model is being loaded, or is about to be in place of the loaded one: no reply can begin."""
        worker = self._worker
        return self.state.busy or (worker is not None and worker.client.queue.refusing)

    def check(self, facts: ModelFacts, spec: LoaderSpec) -> None:
        """Raise PaddockError if the loader cannot load this model on this machine."""
        if problems := spec.problems(facts, self._environments.machine):
            raise PaddockError(" ".join(problems))
        if reason := spec.machine_problem(self._environments.machine):
            raise PaddockError(f"{reason} Choose another loader.")

    def load(self, request: LoadRequest, reason: str = "") -> ModelInfo:
        """Load a model in place of the current one; blocking.

        Builds the loader's environment first if it is missing. Until that is done the current model keeps answering,
        and it stays loaded if the build fails. `reason`: why the model is loaded again, shown while loading and in the
        model's notes. Raises PaddockError; the state holds the same error.
        """
        facts, spec = request.facts, request.spec
        self.check(facts, spec)
        text = f"Starting {spec.title}" + (f" again. {reason}" if reason else "")
        state = ModelState("starting", facts.name, spec.name, request.settings, text=text)
        number = self._supersede()
        note = install_for_load(self._environments, spec, self.state_store, state, lambda: number == self._latest)
        if note:
            request = replace(request, notes=[*request.notes, note])
        with self._switch:
            if number != self._latest:
                raise Superseded(f"{facts.name} was not loaded because of a later request. Load it again.")
            try:
                with explain_errors(f"Loading {facts.name}"):
                    self._end_worker(state)
                    worker, loaded = self._start_and_load(request, state)
                    return self._publish_ready(worker, loaded, state, reason)
            except PaddockError as error:
                self._end_worker()
                self.state_store.set(replace(state, phase="failed", text="", fraction=None, error=error))
                raise

    def _supersede(self) -> int:
        """Make this request the latest, so that older ones that have not begun do not begin."""
        with self._lock:
            self._latest += 1
            return self._latest

    def _start_and_load(self, request: LoadRequest, state: ModelState) -> tuple[ModelWorker, Loaded]:
        def report(text: str, fraction: float | None) -> None:
            self.state_store.set(replace(state, phase="loading", text=text, fraction=fraction))

        python = self._environments.python(request.spec)
        worker = ModelWorker(
            request, python, self._root, self._folders, self._worker_ended, self.hooks.handle, self._on_cards
        )
        with self._lock:
            self._worker = worker
        worker.client.start()
        report("Reading the model", None)
        loaded = worker.load(report)
        if not self.hooks.empty:
            self.hooks.send_to(worker.client)
        return worker, loaded

    def _publish_ready(self, worker: ModelWorker, loaded: Loaded, state: ModelState, reason: str) -> ModelInfo:
        """Apply the adapters, then publish that the model is ready."""
        request = worker.request
        problems = worker.try_adapters(request.adapters)
        notes = [*loaded.info.notes, *request.notes, *([reason] if reason else []), *problems]
        info = replace(loaded.info, notes=notes)
        if worker.memory is not None:
            self._on_measured(request, info, worker.memory)
        applied = {} if problems else adapter_weights(request.adapters)
        self.state_store.set(
            replace(state, phase="ready", text="", info=info, load_seconds=loaded.seconds, adapters=applied)
        )
        return info

    def set_adapters(self, adapters: Sequence[WeightedAdapter]) -> None:
        """Apply these LoRA adapters and no others, from the next reply on; blocks while a reply runs. Raises
        PaddockError; the previous adapters stay then."""
        # Not `_switch`: an unload must not wait for the reply that this waits for.
        with self._adapting:
            worker = self.worker()
            worker.apply_adapters(adapters)
            if worker is self._worker:
                self.state_store.set(replace(self.state, adapters=adapter_weights(adapters)))

    def unload(self) -> int:
        """End the worker, also one that is still loading. Return the bytes of memory that were freed."""
        # A load holds `_switch` until it ends.
        self.cancel_load()
        with self._switch:
            freed = self.memory_bytes()
            self._end_worker()
            self.state_store.set(ModelState())
            return freed

    @contextlib.contextmanager
    def without_generations(self, stop: Callable[[], bool]) -> Iterator[bool]:
        """Wait until no generation runs or waits, and let none begin while the block runs; then publish the state.
        Yield False if `stop()` became true first."""
        queue = self._queue()
        try:
            yield queue.drain(stop) if queue else not stop()
        finally:
            if queue:
                queue.resume()
                self.state_store.publish()

    def generating(self) -> bool:
        """Return True while a generation runs, waits or is prepared."""
        queue = self._queue()
        return queue is not None and queue.busy

    def last_ended(self) -> float:
        """Return when the worker's last generation ended (time.monotonic), 0 before the first."""
        queue = self._queue()
        return queue.ended_at if queue else 0.0

    def request(self) -> LoadRequest | None:
        """Return what the worker loads or has loaded, None without a worker that lives."""
        with self._lock:
            return self._worker.request if self._worker and self.state.phase != "failed" else None

    def _queue(self) -> GenerationQueue | None:
        with self._lock:
            return self._worker.client.queue if self._worker else None

    def queue_lengths(self) -> tuple[int, int]:
        """Return how many generations run, and how many wait for a slot."""
        queue = self._queue()
        return queue.lengths() if queue else (0, 0)

    def _began(self, worker: ModelWorker, generation: Generation) -> Generation:
        self.generations.notify(super()._began(worker, generation))
        return generation

    def cancel_load(self) -> None:
        """End a running load, and drop loads that wait. A loaded model stays."""
        self._supersede()
        with self._lock:
            worker = self._worker
        if worker is not None and self.state.busy:
            worker.client.stop()

    def worker_pid(self) -> int | None:
        """Return the worker's process number, or None."""
        with self._lock:
            return self._worker.pid if self._worker else None

    def memory_bytes(self) -> int:
        """Return the worker's resident memory in bytes; 0 without a worker."""
        pid = self.worker_pid()
        with contextlib.suppress(OSError, LookupError):
            return self._memory_of(pid) if pid is not None else 0
        return 0

    def private_bytes(self) -> int:
        """Return the worker's resident memory without pages of files, in bytes; 0 without a worker."""
        return watch.private_bytes() if (watch := self._watch()) else 0

    def card_bytes(self) -> int:
        """Return the bytes of graphics cards that the worker uses; 0 without a worker or if that is not known."""
        return watch.card_bytes() if (watch := self._watch()) else 0

    def _watch(self) -> MemoryWatch | None:
        with self._lock:
            return self._worker.memory if self._worker else None

    def send_hooks(self) -> None:
        """Run the present hooks of extensions in the worker, if its loader can. Raise PaddockError."""
        with self._lock:
            worker, phase = self._worker, self.state.phase
        if worker is not None and phase == "ready":
            self.hooks.send_to(worker.client)

    def on_measured(self, callback: OnMeasured) -> None:
        """Call `callback` with a worker's memory after each load and before each orderly shutdown."""
        self._on_measured = callback

    def close(self) -> None:
        """End the worker."""
        self.unload()

    def worker(self) -> ModelWorker:
        """Return the worker of the loaded model. Raise PaddockError if none is loaded."""
        with self._lock:
            worker, state = self._worker, self.state
        if worker is None or state.phase != "ready":
            raise PaddockError(state.why_not_ready)
        return worker

    def _worker_ended(self, worker: ModelWorker, exit: WorkerExit) -> None:
        if exit.cause == "unloaded" or worker is not self._worker or self.state.phase != "ready":
            return
        number = self._latest
        error = exit.error(lower=("context",) if self.state.info is not None else ())
        self.state_store.update(lambda now: replace(now, phase="failed", text="", fraction=None, error=error))
        if exit.cause == "stuck":
            host_thread("load again", lambda: self._load_again(worker, number), f"Loading {self.state.model}").start()

    def _load_again(self, worker: ModelWorker, number: int) -> None:
        """Load again what a killed worker had loaded, unless there was a later request."""
        why = f"{worker.request.spec.title} did not stop a reply, so it was ended"
        try:
            request = worker.request.renew(replace(worker.request, adapters=worker.adapters))
            if number == self._latest:
                self.load(request, f"{why} and the model loaded again.")
        except PaddockError as error:
            refused = WorkerDied(f"{why}. {error.message}", detail=error.detail, lower=error.lower)
            # A load that has begun has another number, and its state shows the error already.
            self.state_store.update(lambda now: now if number < self._latest else replace(now, error=refused))

    def _end_worker(self, next: ModelState | None = None) -> None:
        """End the worker. `next`: the state to publish before that."""
        with self._lock:
            worker, self._worker = self._worker, None
            state = self.state
        if next is not None:
            self.state_store.set(next)
        if worker is not None:
            try:
                if state.phase == "ready" and state.info is not None and worker.memory is not None:
                    self._on_measured(worker.request, state.info, worker.memory)
            finally:
                worker.stop()
