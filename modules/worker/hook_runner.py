"""Runs hooks of extensions in the worker: loads their files on Configure, and lets them change tokens and logits.

Standard library only. Arrays are of the engine's kind (torch or numpy): both support `logits[None, :]`.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.events import HookEvent, HookFailed, HookPrinted, HookStored
from modules.system.code_allowlist import CodeAllowlist
from modules.system.external_errors import is_external
from modules.system.shared_values import SharedValues
from modules.system.source_loader import CurrentSourceLoader
from modules.worker.hook_host import HookModel, WorkerHost, script_modules
from modules.worker.hook_output import HookOutput
from modules.worker.import_stubs import stub_missing_imports

_PACKAGE = "paddock_worker_extensions"

# Seconds per batch of output and values, so that a hook does not send a message for each token.
_BATCH_SECONDS = 0.2


@dataclass
class _Member:
    """The file of one extension.

    `sha256`: of the extension's code when it was loaded. `received`: the latest settings; `seen`: numbers of the shared
    values that were merged; `sent_params`: a script's `params` as the host has them.
    """

    name: str
    path: Path
    sha256: str
    module: ModuleType
    host: WorkerHost
    output: HookOutput
    settings: object = None
    received: dict[str, object] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    sent_params: dict[str, Any] = field(default_factory=dict)

    def call(self, hook: str, **args: object) -> Any:
        """Call the hook with the arguments that it accepts, by name. A script.py gets all by position."""
        function = getattr(self.module, hook)
        with self.output.capture(self.name):
            if self.path.name == "script.py":
                return function(*args.values())
            code = function.__code__
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            args |= {"settings": self.settings, "host": self.host}
            return function(**{name: value for name, value in args.items() if name in names})

    def process(self, processor: Callable[[Any, Any], Any], ids: object, logits: object) -> Any:
        """Return logits [1, vocabulary] after a processor that the extension appended."""
        with self.output.capture(self.name):
            return processor(ids, logits)

    def apply(self, settings: dict[str, object], store: dict[str, object]) -> None:
        """Apply settings and shared values from the host. A script's changes of its `params` stay, unless the host has
        changed the same key since."""
        self.settings = SimpleNamespace(**settings)
        self.host.store.merge(store, self.seen)
        params = self.params
        if params is not None:
            fresh = {key: value for key, value in settings.items() if self.received.get(key, self) != value}
            params.update(fresh)
            self.sent_params.update(copy.deepcopy(fresh))
        self.received = copy.deepcopy(settings)

    @property
    def params(self) -> dict[Any, Any] | None:
        """The dictionary `params` of a script.py, or None."""
        params = getattr(self.module, "params", None)
        return params if self.path.name == "script.py" and isinstance(params, dict) else None

    def changed_params(self) -> dict[str, object]:
        """Return the JSON values in a script's `params` that changed since they were sent to the host."""
        params = self.params
        if params is None:
            return {}
        fresh = {str(key): value for key, value in params.items() if self.sent_params.get(key, self) != value}
        fresh = {key: value for key, value in fresh.items() if _is_plain(value)}
        self.sent_params.update(copy.deepcopy(fresh))
        return fresh


class Hooks:
    """The hooks of enabled extensions in the worker. Without any, an engine checks one `if` per reply.

    `send`: sends an event to the host. `loaded`: the worker's model. Methods that run hooks raise PaddockError if
    something outside an extension failed: the reply then fails, and the extension stays enabled.
    """

    def __init__(self, send: Callable[[HookEvent], None], loaded: HookModel) -> None:
        self._send = send
        self._loaded = loaded
        self._origin = f"worker {os.getpid()}"
        self._output = HookOutput()
        self._stored: dict[str, dict[str, object]] = {}
        self._stored_lock = threading.Lock()
        self._sent = 0.0
        self._members: dict[str, _Member] = {}
        self._code = CodeAllowlist()

    def configure(self, entries: Sequence[dict[str, Any]]) -> list[str]:
        """Load new extensions, drop missing ones, and pass all their settings. Return the names that run now, in order.

        An entry: name, path, kind (worker.py or script.py), settings, packages (a folder), hooks, store, folder, files
        and sha256 of the code that the user agreed to.
        """
        members = {}
        for entry in entries:
            try:
                members[entry["name"]] = self._member(entry)
            except BaseException as error:
                self._disable(entry["name"], "load", error)
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
            store = SharedValues(self._origin, lambda key, value: self._store(name, {key: value}))
            with self._output.capture(name):
                module = _load(name, path, self._loaded)
            member = _Member(name, path, sha256, module, WorkerHost(name, self._loaded, store), self._output)
            member.sent_params.update(copy.deepcopy(member.params or {}))
        member.apply(entry.get("settings") or {}, entry.get("store") or {})
        return member

    def _store(self, name: str, values: dict[str, object]) -> None:
        with self._stored_lock:
            self._stored.setdefault(name, {}).update(values)

    def flush(self) -> None:
        """Send the output and the shared values of hooks since the previous call."""
        self._sent = time.monotonic()
        for member in list(self._members.values()):
            if changed := member.changed_params():
                self._store(member.name, changed)
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
        self, prompt: str, tokens: list[int], row: Callable[[list[int]], object], state: Mapping[str, object]
    ) -> list[int]:
        """Return the prompt's tokens after `tokenizer_modifier`. `row`: converts tokens to an array [1, tokens]."""
        for member in self._with("tokenizer_modifier"):
            try:
                args = {"state": state, "prompt": prompt, "input_ids": row(tokens), "input_embeds": None}
                result = member.call("tokenizer_modifier", **args)
                if result is None:
                    continue
                prompt, ids, embeds = result
                if embeds is not None:
                    raise TypeError("it returned embeddings, which engines here do not accept")
                tokens = [int(token) for token in ids[0]]
            except BaseException as error:
                self._fail(member.name, "tokenizer_modifier", error)
        self.flush()
        return tokens

    def logits(
        self, tokens: Callable[[], list[int]], row: Callable[[list[int]], object], ends: Sequence[int] = ()
    ) -> Callable[[Any], Any] | None:
        """Return a function that changes one reply's logits [vocabulary] before each token, or None if no hook does.

        `tokens()`: prompt and reply so far; `ends`: tokens that end a reply. Call this once per reply, before its first
        token.
        """
        about = {"prompt_length": len(tokens()), "ends": list(ends)} if self else {}
        processors: list[tuple[_Member, Callable[[Any, Any], Any]]] = []
        for member in self._with("logits_processor_modifier"):
            added: list[Any] = []
            try:
                result = member.call("logits_processor_modifier", processor_list=added, input_ids=row(tokens()))
                # Some return a new list instead of appending to the given one.
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
                        logits = logits if result is None else _check_shape(result, logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_modifier", error)
            ids = row(now) if processors else None
            for member, processor in processors:
                if member.name in self._members:
                    try:
                        logits = _check_shape(member.process(processor, ids, logits[None, :])[0], logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_processor_modifier", error)
            if time.monotonic() - self._sent > _BATCH_SECONDS:
                self.flush()
            return logits

        return change

    def _with(self, hook: str) -> list[_Member]:
        return [member for member in self._members.values() if hasattr(member.module, hook)]

    def _fail(self, name: str, hook: str, error: BaseException) -> None:
        """Disable an extension after a fault in its code. Raises PaddockError for a fault outside its code."""
        if not is_external(error):
            self._disable(name, hook, error)
            return
        self.flush()
        raise PaddockError(
            f"{name} could not do its part ({hook}): {_describe(error)}. Check what it needs, then try again.",
            detail=traceback.format_exc()[-20_000:],
        ) from error

    def _disable(self, name: str, hook: str, error: BaseException) -> None:
        self._members.pop(name, None)
        self._send(HookFailed(name, hook, _describe(error), traceback.format_exc()[-20_000:]))


def _describe(error: BaseException) -> str:
    if isinstance(error, PaddockError):
        return error.message.rstrip(".")
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def _is_plain(value: object) -> bool:
    """Return True if JSON preserves the value."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _check_shape(result: Any, logits: Any) -> Any:
    if getattr(result, "shape", None) != logits.shape:
        raise TypeError(
            f"it returned {type(result).__name__}, where logits of shape {tuple(logits.shape)} are expected"
        )
    return result


def _load(name: str, path: Path, loaded: HookModel) -> ModuleType:
    """Import the file as a module of a separate package, so that `from . import …` finds the files beside it."""
    package = f"{_PACKAGE}_{name}"
    for known in [known for known in list(sys.modules) if known == package or known.startswith(f"{package}.")]:
        sys.modules.pop(known, None)
    parent = ModuleType(package)
    parent.__path__ = [str(path.parent)]
    sys.modules[package] = parent
    full = f"{package}.{path.stem}"
    spec = importlib.util.spec_from_file_location(full, path, loader=CurrentSourceLoader(full, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    if path.name == "script.py":
        stub_missing_imports(module, script_modules(loaded))
    spec.loader.exec_module(module)
    return module
