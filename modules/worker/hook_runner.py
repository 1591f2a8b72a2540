"""Extensions' hooks in the worker: their files are loaded on Configure, and their functions change tokens and logits.

Standard library only. Arrays are whatever the engine has (torch, numpy): both understand `logits[None, :]`.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.events import HookEvent, HookFailed, HookPrinted, HookStored
from modules.system.code_allowlist import CodeAllowlist
from modules.system.external_errors import is_external
from modules.system.shared_values import SharedValues
from modules.worker.hook_host import HookModel, WorkerHost, script_modules
from modules.worker.hook_output import HookOutput
from modules.worker.import_stubs import stub_missing_imports

_PACKAGE = "paddock_worker_extensions"

# Prints and values gather for so long, so that a hook that runs for each token costs no message for each.
_GATHER_SECONDS = 0.2


@dataclass
class _Member:
    """One extension's file. `sha256`: of the extension's code when it was loaded. `received`: the settings that came
    last; `seen`: the numbers of the shared values that were taken; `told`: a script's `params` as the host has them."""

    name: str
    path: Path
    sha256: str
    module: ModuleType
    host: WorkerHost
    output: HookOutput
    settings: Any = None
    received: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def call(self, hook: str, **given: Any) -> Any:
        """Call the hook with those of the arguments that it takes; a script's by position, as it expects."""
        function = getattr(self.module, hook)
        with self.output.catching(self.name):
            if self.path.name == "script.py":
                return function(*given.values())
            code = function.__code__
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            given |= {"settings": self.settings, "host": self.host}
            return function(**{name: value for name, value in given.items() if name in names})

    def process(self, processor: Any, ids: Any, logits: Any) -> Any:
        """What a processor that it appended makes of logits [1, vocabulary]."""
        with self.output.catching(self.name):
            return processor(ids, logits)

    def take(self, settings: dict[str, Any], store: dict[str, Any]) -> None:
        """Take settings and shared values from the host. A script's own changes of its `params` stay, where the host
        did not change the same one since."""
        self.settings = SimpleNamespace(**settings)
        self.host.store.merge(store, self.seen)
        params = self.params
        if params is not None:
            fresh = {key: value for key, value in settings.items() if self.received.get(key, self) != value}
            params.update(fresh)
            self.told.update(copy.deepcopy(fresh))
        self.received = copy.deepcopy(settings)

    @property
    def params(self) -> dict[Any, Any] | None:
        """A script's own dictionary."""
        params = getattr(self.module, "params", None)
        return params if self.path.name == "script.py" and isinstance(params, dict) else None

    def changed_params(self) -> dict[str, Any]:
        """The plain values in a script's `params` that changed since the host heard of them."""
        params = self.params
        if params is None:
            return {}
        fresh = {str(key): value for key, value in params.items() if self.told.get(key, self) != value}
        fresh = {key: value for key, value in fresh.items() if _is_plain(value)}
        self.told.update(copy.deepcopy(fresh))
        return fresh


class Hooks:
    """The worker's side of the extensions that are on. Without any, it costs an engine one `if` a reply.

    `send`: takes events for the host. `loaded`: the model of this worker. Methods that run hooks raise PaddockError
    where something outside of an extension failed: that reply fails, and the extension stays.
    """

    def __init__(self, send: Callable[[HookEvent], None], loaded: HookModel) -> None:
        self._send = send
        self._loaded = loaded
        self._origin = f"worker {os.getpid()}"
        self._output = HookOutput()
        self._stored: dict[str, dict[str, Any]] = {}
        self._stored_lock = threading.Lock()
        self._sent = 0.0
        self._members: dict[str, _Member] = {}
        self._code = CodeAllowlist()

    def configure(self, entries: Sequence[dict[str, Any]]) -> list[str]:
        """Load what is new, forget what is gone, give all their settings; names of those that run now, in order.

        An entry: name, path, kind (worker.py or script.py), settings, packages (a folder), hooks, store, folder, files
        and sha256 of the code that the user agreed to.
        """
        members = {}
        for entry in entries:
            try:
                members[entry["name"]] = self._member(entry)
            except BaseException as error:
                self._switch_off(entry["name"], "load", error)
        self._members = members
        self.flush()
        return list(members)

    def _member(self, entry: dict[str, Any]) -> _Member:
        name, path = entry["name"], Path(entry["path"])
        sha256 = entry.get("sha256", "")
        member = self._members.get(name)
        if member is None or member.sha256 != sha256 or member.path != path:
            if folder := entry.get("folder"):
                self._code.allow(Path(folder), entry["files"])
            if (packages := entry.get("packages")) and packages not in sys.path and Path(packages).is_dir():
                sys.path.append(packages)
            store = SharedValues(self._origin, lambda key, value: self._keep(name, {key: value}))
            with self._output.catching(name):
                module = _load(name, path, self._loaded)
            member = _Member(name, path, sha256, module, WorkerHost(name, self._loaded, store), self._output)
            member.told.update(copy.deepcopy(member.params or {}))
        member.take(entry.get("settings") or {}, entry.get("store") or {})
        return member

    def _keep(self, name: str, values: dict[str, Any]) -> None:
        with self._stored_lock:
            self._stored.setdefault(name, {}).update(values)

    def flush(self) -> None:
        """Send what hooks printed and wrote since the last time."""
        self._sent = time.monotonic()
        for member in list(self._members.values()):
            if changed := member.changed_params():
                self._keep(member.name, changed)
        for name, text in self._output.take().items():
            self._send(HookPrinted(name, text))
        if self._stored:
            with self._stored_lock:
                stored, self._stored = self._stored, {}
            for name, values in stored.items():
                self._send(HookStored(name, values, self._origin))

    def __bool__(self) -> bool:
        return bool(self._members)

    def tokens(
        self, prompt: str, tokens: list[int], row: Callable[[list[int]], Any], state: dict[str, Any]
    ) -> list[int]:
        """The prompt's tokens after `tokenizer_modifier`. `row`: tokens as the engine's array [1, tokens]."""
        for member in self._with("tokenizer_modifier"):
            try:
                given = {"state": state, "prompt": prompt, "input_ids": row(tokens), "input_embeds": None}
                result = member.call("tokenizer_modifier", **given)
                if result is None:
                    continue
                prompt, ids, embeds = result
                if embeds is not None:
                    raise TypeError("it returned embeddings, which engines here do not take")
                tokens = [int(token) for token in ids[0]]
            except BaseException as error:
                self._fail(member.name, "tokenizer_modifier", error)
        self.flush()
        return tokens

    def logits(
        self, tokens: Callable[[], list[int]], row: Callable[[list[int]], Any], ends: Sequence[int] = ()
    ) -> Callable[[Any], Any] | None:
        """What one reply's logits [vocabulary] pass through before each token; None where nobody asks for them.

        `tokens()`: prompt and reply so far; `ends`: tokens that end a reply. Called once a reply, before
        its first token.
        """
        about = {"prompt_length": len(tokens()), "ends": list(ends)} if self else {}
        processors: list[tuple[_Member, Any]] = []
        for member in self._with("logits_processor_modifier"):
            added: list[Any] = []
            try:
                result = member.call("logits_processor_modifier", processor_list=added, input_ids=row(tokens()))
                # Some return a list of their own in place of appending to the one they were given.
                added = result if isinstance(result, list) else added
                processors += [(member, processor) for processor in added]
            except BaseException as error:
                self._fail(member.name, "logits_processor_modifier", error)
        direct = self._with("logits_modifier")
        if not processors and not direct:
            return None

        def change(logits: Any) -> Any:
            now = tokens()
            for member in direct:
                if member.name in self._members:
                    try:
                        result = member.call("logits_modifier", tokens=now, logits=logits, **about)
                        logits = logits if result is None else _alike(result, logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_modifier", error)
            ids = row(now) if processors else None
            for member, processor in processors:
                if member.name in self._members:
                    try:
                        logits = _alike(member.process(processor, ids, logits[None, :])[0], logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_processor_modifier", error)
            if time.monotonic() - self._sent > _GATHER_SECONDS:
                self.flush()
            return logits

        return change

    def _with(self, hook: str) -> list[_Member]:
        return [member for member in self._members.values() if hasattr(member.module, hook)]

    def _fail(self, name: str, hook: str, error: BaseException) -> None:
        """Switch an extension off after a fault in its code. Raises PaddockError for what lies outside of it."""
        if not is_external(error):
            self._switch_off(name, hook, error)
            return
        self.flush()
        raise PaddockError(
            f"{name} could not do its part ({hook}): {_in_words(error)}. Check what it needs, then try again.",
            detail=traceback.format_exc()[-20_000:],
        ) from error

    def _switch_off(self, name: str, hook: str, error: BaseException) -> None:
        self._members.pop(name, None)
        self._send(HookFailed(name, hook, _in_words(error), traceback.format_exc()[-20_000:]))


def _in_words(error: BaseException) -> str:
    if isinstance(error, PaddockError):
        return error.message.rstrip(".")
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def _is_plain(value: Any) -> bool:
    """Whether a value is the same on the other side of JSON."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _alike(result: Any, logits: Any) -> Any:
    if getattr(result, "shape", None) != logits.shape:
        raise TypeError(
            f"it returned {type(result).__name__}, where logits of shape {tuple(logits.shape)} are expected"
        )
    return result


def _load(name: str, path: Path, loaded: HookModel) -> ModuleType:
    """Run the file as a part of a package of its own, so that `from . import …` finds what lies beside it."""
    package = f"{_PACKAGE}_{name}"
    for known in [known for known in list(sys.modules) if known == package or known.startswith(f"{package}.")]:
        sys.modules.pop(known, None)
    parent = ModuleType(package)
    parent.__path__ = [str(path.parent)]
    sys.modules[package] = parent
    spec = importlib.util.spec_from_file_location(f"{package}.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"{package}.{path.stem}"] = module
    if path.name == "script.py":
        stub_missing_imports(module, script_modules(loaded))
    spec.loader.exec_module(module)
    return module
