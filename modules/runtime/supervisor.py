"""The one worker that runs now: loads, unloads, generates, and tells everybody what it is doing."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.generation.generation import Generation
from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.commands import (
    ApplyAdapter,
    ChatPrompt,
    Configure,
    Detokenize,
    Embed,
    NextTokenProbabilities,
    Tokenize,
)
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished, HookEvent, HookFailed, Loaded, ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.model_state import ChatPromptResult, ModelState
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.state_store import StateStore, Superseded
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerDied, WorkerExit
from modules.system.threads import explain_errors, host_thread

MemoryOf = Callable[[int], int]
# A LoRA adapter and its weight.
WeightedAdapter = tuple[AdapterFacts, float]
# Told what a worker's watch saw, and the state it was in: right after its load, and before it is ended in order.
OnMeasured = Callable[[ModelState, MemoryWatch], None]


class Supervisor:
    """Owns at most one worker. Loads and unloads happen one after another; all else may be called from any thread.

    `memory_of`: resident bytes of a process and its children, by process number.
    """

    def __init__(
        self,
        root: Path,
        environments: Environments,
        memory_of: MemoryOf,
        shared: tuple[Sequence[Path], Sequence[Path]] = ((), ()),
    ) -> None:
        self._root = root
        self._environments = environments
        self._shared = shared
        self._memory_of = memory_of
        self._switch = threading.Lock()
        self._adapting = threading.Lock()
        self._lock = threading.Lock()
        self._client: WorkerClient | None = None
        self._watch: MemoryWatch | None = None
        self._measured: OnMeasured = lambda state, watch: None
        self._wanted = 0
        # Loads once more what was loaded last, for the reason given.
        self._repeat: Callable[[str], object] = lambda reason: None
        self._adapters: tuple[WeightedAdapter, ...] = ()
        self._hooks: list[dict[str, Any]] = []
        self._hook_listener: Callable[[HookEvent], None] = lambda event: None
        self.state_store = StateStore()

    @property
    def state(self) -> ModelState:
        """What the worker is doing now; `state_store` tells of changes."""
        return self.state_store.state

    def load(
        self,
        facts: ModelFacts,
        spec: LoaderSpec,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        adapters: Sequence[WeightedAdapter] = (),
        notes: Sequence[str] = (),
        reason: str = "",
    ) -> ModelInfo:
        """Load a model, in place of the one that is loaded; blocking. Installs the loader's environment if it lacks;
        the model before it answers until that is done, and stays where it fails.

        `environment`: variables for the worker (consents given at start). `adapters`: LoRA adapters to begin with;
        where the engine refuses them, the model runs without and its notes say why. `notes`: sentences that belong
        there too. `reason`: why it is loaded once more; told while loading, and in the notes. Raises PaddockError; the
        state tells it too.
        """
        self.check(facts, spec, settings)
        text = f"Starting {spec.title}" + (f" again. {reason}" if reason else "")
        state = ModelState("starting", facts.name, spec.name, dict(settings), text=text)
        wish = self._wish()
        self._install(spec, state, wish)
        with self._switch:
            if wish != self._wanted:
                raise Superseded(
                    f"{facts.name} was not loaded, as something else was asked for meanwhile. Load it again."
                )
            try:
                with explain_errors(f"Loading {facts.name}"):
                    self._end_worker()
                    client, loaded = self._load(facts, spec, state, environment or {})
                    info = self._begin(client, loaded, state, adapters, [*notes, *([reason] if reason else [])])
                    self._adapters = tuple(adapters)
                    self._repeat = lambda reason: self.load(
                        facts, spec, settings, environment, self._adapters, notes, reason
                    )
                    return info
            except PaddockError as error:
                self._end_worker()
                self.state_store.set(dataclasses.replace(state, phase="failed", text="", fraction=None, error=error))
                raise

    def _wish(self) -> int:
        """What is asked for now takes the place of what was asked for before and has not begun."""
        with self._lock:
            self._wanted += 1
            return self._wanted

    def check(self, facts: ModelFacts, spec: LoaderSpec, settings: Mapping[str, Any]) -> None:
        """Whether a load may begin. Raises PaddockError."""
        build(spec.settings, settings)
        if problems := spec.problems(facts, self._environments.machine):
            raise PaddockError(" ".join(problems))
        if reason := spec.machine_problem(self._environments.machine):
            raise PaddockError(f"{reason} Choose another loader.")

    def _install(self, spec: LoaderSpec, state: ModelState, wish: int) -> None:
        """Build the environment that the load which begins with `state` needs, unless it is there. Raises
        PaddockError; a model that is loaded stays, with the error beside it."""
        if self._environments.status(spec).installed:
            return

        def tell(
            text: str, fraction: float | None, phase: str = "installing", error: PaddockError | None = None
        ) -> None:
            def told(now: ModelState) -> ModelState:
                if wish != self._wanted:
                    return now
                about = now if now.phase == "ready" else dataclasses.replace(state, phase=phase)
                return dataclasses.replace(about, text=text, fraction=fraction, error=error)

            self.state_store.change(told)

        try:
            with explain_errors(f"Installing {spec.title}"):
                self._environments.build(spec, tell)
        except PaddockError as error:
            tell("", None, "failed", error)
            raise

    def _load(
        self, facts: ModelFacts, spec: LoaderSpec, state: ModelState, environment: Mapping[str, str]
    ) -> tuple[WorkerClient, Loaded]:
        def report(phase: str) -> Callable[[str, float | None], None]:
            def tell(text: str, fraction: float | None) -> None:
                self.state_store.set(dataclasses.replace(state, phase=phase, text=text, fraction=fraction))

            return tell

        self.state_store.set(state)
        python = self._environments.python(spec)
        client = WorkerClient(
            spec,
            python,
            self._root,
            lambda exit: self._worker_ended(client, exit),
            self._hook_event,
            **sandbox_variables(Path(facts.path), *self._shared),
            **environment,
        )
        with self._lock:
            self._client = client
        client.start()
        self.state_store.set(dataclasses.replace(state, phase="loading", text="Reading the model", fraction=None))
        watch = self._watch = MemoryWatch(client.process.pid, str(Path(facts.path).resolve()))
        loaded = client.load(facts.path, state.settings, report("loading"))
        watch.record_load()
        client.process.compile_bytecode()
        if self._hooks and spec.logits_hooks:
            client.ask(Configure(client.next_id(), self._hooks))
        return client, loaded

    def _begin(
        self,
        client: WorkerClient,
        loaded: Loaded,
        state: ModelState,
        adapters: Sequence[WeightedAdapter],
        notes: Sequence[str],
    ) -> ModelInfo:
        """Apply the adapters, then say that all is ready."""
        problems = _apply_if_it_can(client, adapters)
        info = dataclasses.replace(loaded.info, notes=[*loaded.info.notes, *notes, *problems])
        applied = {} if problems else _names(adapters)
        ready = dataclasses.replace(
            state, phase="ready", text="", info=info, load_seconds=loaded.seconds, adapters=applied
        )
        if self._watch is not None:
            self._measured(ready, self._watch)
        self.state_store.set(ready)
        return info

    def set_adapters(self, adapters: Sequence[WeightedAdapter]) -> None:
        """Use these LoRA adapters, and no others, from the next reply on; blocking while a reply runs. Raises
        PaddockError; those hold then that held before."""
        # Not the switch: who unloads must not wait for the reply that this waits for.
        with self._adapting:
            client = self._ready()
            _apply(client, adapters)
            if client is self._client:
                self._adapters = tuple(adapters)
                self.state_store.set(dataclasses.replace(self.state, adapters=_names(adapters)))

    def unload(self) -> int:
        """End the worker, also one that is still loading. Returns the bytes of memory that came back."""
        # A load holds the switch.
        self.cancel_load()
        with self._switch:
            freed = self.memory_bytes()
            self._end_worker()
            self.state_store.set(ModelState())
            return freed

    def cancel_load(self) -> None:
        """End a load that is under way, and let none begin that waits; a model that is loaded stays."""
        self._wish()
        with self._lock:
            client = self._client
        if client is not None and self.state.busy:
            client.stop()

    def loaded(self) -> ModelInfo:
        """The loaded model's facts. Raises PaddockError saying why there is none."""
        self._ready()
        assert self.state.info is not None
        return self.state.info

    def worker_pid(self) -> int | None:
        """The worker's process number, if there is one."""
        with self._lock:
            return self._client.process.pid if self._client else None

    def memory_bytes(self) -> int:
        """Resident memory of the worker now, in bytes; 0 when there is none."""
        pid = self.worker_pid()
        if pid is None:
            return 0
        try:
            return self._memory_of(pid)
        except (OSError, LookupError):
            return 0

    def generate(self, prompt: str, params: SamplingParams, hooks: bool = True, opening: str = "") -> Generation:
        """Begin a generation; returns at once. Above the engine's slots they queue, in order. `hooks`: those of
        extensions in the worker take part; `opening`: that of the ChatPromptResult, for a text that holds it. Raises
        PaddockError."""
        return self._ready().generate(prompt, params, hooks, opening)

    def last_finished(self) -> Finished | None:
        """How the loaded model's last generation ended, whoever asked for it; None before the first. Raises
        PaddockError."""
        return self._ready().last

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        """Token ids of `text`."""
        client = self._ready()
        return list(client.ask(Tokenize(client.next_id(), text, special)))

    def detokenize(self, tokens: list[int]) -> str:
        """The text of these tokens."""
        client = self._ready()
        return str(client.ask(Detokenize(client.next_id(), tokens)))

    def chat_prompt(
        self,
        messages: list[dict[str, Any]],
        template: str = "",
        continue_last: bool = False,
        variables: dict[str, Any] | None = None,
    ) -> ChatPromptResult:
        """Render a chat with the model's template, or with `template`. Raises PromptError."""
        client = self._ready()
        command = ChatPrompt(client.next_id(), messages, template, continue_last, variables or {})
        return ChatPromptResult(**client.ask(command))

    def next_token_probabilities(self, prompt: str, top: int = 20) -> list[dict[str, Any]]:
        """The likeliest next tokens: [{"token", "text", "probability"}]."""
        client = self._ready()
        return list(client.ask(NextTokenProbabilities(client.next_id(), prompt, top)))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        client = self._ready()
        return list(client.ask(Embed(client.next_id(), texts), timeout=None))

    def configure_hooks(self, hooks: list[dict[str, Any]]) -> None:
        """Run these extensions' hooks in this worker and in those to come, where the loader can; entries as in
        Configure."""
        with self._lock:
            if hooks == self._hooks:
                return
            self._hooks = hooks
            client, phase = self._client, self.state.phase
        if client is not None and phase == "ready" and client.spec.logits_hooks:
            client.ask(Configure(client.next_id(), hooks))

    def on_hook(self, callback: Callable[[HookEvent], None]) -> None:
        """Call `callback` when an extension's hook in the worker fails, prints, or writes a shared value. For a failure
        it is called from a thread of its own, and may ask the worker; for all else it must return at once."""
        self._hook_listener = callback

    def _hook_event(self, event: HookEvent) -> None:
        if isinstance(event, HookFailed):
            # The thread that reads the worker must not wait for an answer of the worker.
            host_thread("hook failed", lambda: self._hook_listener(event), "Switching an extension off").start()
        else:
            self._hook_listener(event)

    def on_measured(self, callback: OnMeasured) -> None:
        """Call `callback` with the memory that a worker held, after each load and before each end in order."""
        self._measured = callback

    def last_words(self) -> tuple[str, ...]:
        """What the worker wrote to stderr, most recent last."""
        with self._lock:
            return self._client.process.stderr if self._client else ()

    def close(self) -> None:
        """End the worker for good."""
        self.unload()

    def _ready(self) -> WorkerClient:
        with self._lock:
            client, state = self._client, self.state
        if client is None or state.phase != "ready":
            why = f" {state.error.message}" if state.phase == "failed" and state.error else ""
            raise PaddockError(_WHY_NOT.get(state.phase, _WHY_NOT["busy"]) + why)
        return client

    def _worker_ended(self, client: WorkerClient, exit: WorkerExit) -> None:
        if exit.cause == "unloaded" or client is not self._client or self.state.phase != "ready":
            return
        wish = self._wanted
        error = exit.error(lower=_memory_settings(self.state))
        self.state_store.change(
            lambda now: dataclasses.replace(now, phase="failed", text="", fraction=None, error=error)
        )
        if exit.cause == "stuck":
            doing = f"Loading {self.state.model} again"
            host_thread("load again", lambda: self._load_again(client, wish), doing).start()

    def _load_again(self, client: WorkerClient, wish: int) -> None:
        """Load once more what a worker that was killed had loaded, unless something else is asked for."""
        if wish == self._wanted:
            # The state tells what went wrong.
            with contextlib.suppress(PaddockError):
                self._repeat(f"{client.spec.title} did not stop a reply, so it was ended and the model loaded again.")

    def _end_worker(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            watch, self._watch = self._watch, None
            state = self.state
        try:
            if watch is not None:
                watch.close()
                if state.phase == "ready":
                    self._measured(state, watch)
        finally:
            if client is not None:
                client.stop()


def _apply(client: WorkerClient, adapters: Sequence[WeightedAdapter]) -> None:
    wanted = {adapter.path: weight for adapter, weight in adapters}
    # It waits for the replies that run, so there is no telling how long it takes.
    client.ask(ApplyAdapter(client.next_id(), wanted), timeout=None)


def _names(adapters: Sequence[WeightedAdapter]) -> dict[str, float]:
    return {adapter.name: weight for adapter, weight in adapters}


def _apply_if_it_can(client: WorkerClient, adapters: Sequence[WeightedAdapter]) -> list[str]:
    """A sentence where the engine refuses them; then none is applied. Raises WorkerDied."""
    if not adapters:
        return []
    try:
        _apply(client, adapters)
    except WorkerDied:
        raise
    except PaddockError as error:
        return [f"No LoRA adapter is applied. {error.message}"]
    return []


def _memory_settings(state: ModelState) -> tuple[str, ...]:
    return tuple(name for name in ("context",) if state.info is not None)


_WHY_NOT = {
    "empty": "No model is loaded. Choose one on the Model tab and press Load.",
    "failed": "The model is not loaded. Load it again on the Model tab.",
    "busy": "The model is still loading. Wait until it is ready.",
}
