"""The extensions of this run: which there are, which are on, in which order, and what became of each."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from modules.plugins import requirements
from modules.plugins.api_routes import declared_routes
from modules.plugins.code_files import importable
from modules.plugins.console import Console
from modules.plugins.extension_host import Host
from modules.plugins.extension_import import Reader, add_packages, forget, read_extension
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.extension_status import Fault
from modules.plugins.failures import MessageFailed, is_outside
from modules.plugins.folders import ExtensionFolder, discover
from modules.plugins.hook_calls import HookCaller, HookedExtension
from modules.plugins.hook_threads import HookThreads
from modules.plugins.patch_guard import PatchGuard
from modules.plugins.pluggy_specs import implementations, misspelt
from modules.plugins.running_extension import RunningExtension, WorkerHookError, describe_error
from modules.plugins.worker_hooks import WorkerEntry, worker_entry, worker_part
from modules.protocol.errors import PaddockError
from modules.protocol.events import HookEvent, HookFailed, HookPrinted
from modules.protocol.schema import build, describe
from modules.system.code_allowlist import CodeAllowlist
from modules.system.listeners import Listeners

_LOG = logging.getLogger(__name__)
_LOAD_SECONDS = 120.0
# Scripts were written for a host that waits for ever: a hook of theirs may speak a reply or ask the model.
_SCRIPT_SECONDS = 120.0


class ConsentNeeded(PaddockError):
    """The files of an extension are new, or have changed, and wait for a yes."""

    code = "consent"


class ExtensionManager:
    """Discovers extensions, switches them on and off, and runs their hooks through `chains`. Thread-safe.

    `roots`: folders that hold extensions. `packages`: where their own packages go, one folder each. `data`: where they
    may write, one folder each. `readers`: how each kind of entry file becomes a plugin. `app`: what hosts hand on.
    `idle`: a sentence saying why hooks in the worker do not run now; "" if they do. `to_worker`: takes what the worker
    is to load.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        packages: Path,
        data: Path,
        saved: ExtensionSettings,
        app: Any,
        readers: Mapping[str, Reader] | None = None,
        idle: Callable[[], str] = lambda: "",
        to_worker: Callable[[list[WorkerEntry]], None] = lambda entries: None,
    ) -> None:
        self.roots = tuple(roots)
        self._packages = packages
        self._data = data
        self.saved = saved
        self._app = app
        self._idle = idle
        self._to_worker = to_worker
        self._readers: dict[str, Reader] = {"extension.py": read_extension, **(readers or {})}
        self._threads = HookThreads()
        self._console = Console()
        self._patches = PatchGuard()
        self._code = CodeAllowlist()
        self.hooks = HookCaller(self._threads, self._console, self.fail, self._bump)
        # One switch at a time, however long it takes; the lock is for a moment, also from guard threads.
        self._switch = threading.RLock()
        self._lock = threading.Lock()
        self._running: dict[str, RunningExtension] = {}
        self._faults: dict[str, Fault] = {}
        # Name -> the files' sha256, and why its packages were not installed.
        self._unbuilt: dict[str, tuple[str, str]] = {}
        self._listeners: Listeners[Callable[[], None]] = Listeners()
        # Every fault of this run as a sentence, in order: a turn tells those that came while it ran.
        self.fault_log: list[str] = []
        # Grows whenever an extension fails, or works again, by itself: an open page then shows its card anew.
        self.revision = 0

    # What there is

    def available(self) -> dict[str, ExtensionFolder]:
        """Every extension on disk now."""
        return discover(self.roots)

    def find(self, name: str) -> ExtensionFolder:
        """The extension of that name. Raises PaddockError with the names that exist."""
        found = self.available()
        if name not in found:
            names = ", ".join(found) or "none yet"
            raise PaddockError(f"There is no extension named {name!r}. The extensions are: {names}.")
        return found[name]

    def running(self) -> list[RunningExtension]:
        """Those that are on, in their order."""
        order = self.saved.order
        with self._lock:
            return [self._running[name] for name in order if name in self._running]

    def get_running(self, name: str) -> RunningExtension | None:
        """The one of that name, if it is on."""
        with self._lock:
            return self._running.get(name)

    def idle(self) -> str:
        """Why hooks in the worker do not run now; "" if they do."""
        return self._idle()

    def packages(self, name: str) -> Path:
        """The folder of an extension's own packages."""
        return self._packages / name

    def schema(self, name: str) -> type[Any] | None:
        """The settings of a running extension: a dataclass of `setting(...)` fields, or None."""
        running = self._running.get(name)
        if running is None:
            return None
        return getattr(running.plugin, "Settings", None) or running.source.manifest.settings

    # On and off

    def start(self) -> None:
        """Switch on what was on the last time. What fails is told by its status; nothing is raised."""
        for name in self.saved.order:
            if name in self._running:
                continue
            try:
                self._switch_on(self.find(name), waits=True)
            except PaddockError as error:
                if not isinstance(error, ConsentNeeded):
                    self._faults[name] = Fault("start", error.message, error.detail)
                _LOG.warning("%s", error.message)

    def enable(self, name: str, consent: str = "") -> None:
        """Switch an extension on, and remember it. `consent`: the sha256 of the files that the user agreed to run.

        Raises ConsentNeeded, RequirementsMissing, or a PaddockError saying what is wrong with the extension.
        """
        found = self.find(name)
        self._agree(found, consent)
        self._faults.pop(name, None)
        with self._switch:
            if name in self._running:
                return
            self._switch_on(found)
            if name not in self.saved.order:
                self.saved.order = [*self.saved.order, name]
            self._changed()

    def disable(self, name: str) -> None:
        """Switch an extension off, and remember that."""
        with self._switch:
            self.saved.order = [known for known in self.saved.order if known != name]
            self._faults.pop(name, None)
            self._switch_off(name)
            self._changed()

    def move(self, name: str, place: int) -> None:
        """Let the hooks of an extension run at this place of the order, from 0."""
        with self._switch:
            order = self.saved.order
            if name not in order:
                raise PaddockError(f"{name} is not switched on, so it has no place in the order. Switch it on first.")
            order.remove(name)
            order.insert(max(0, min(place, len(order))), name)
            self.saved.order = order
            self._changed()

    def configure(self, name: str, values: Mapping[str, Any], *, replace: bool = False) -> None:
        """Set settings of an extension by name, beside those that were set or in their place. Raises SettingError with
        what is allowed."""
        running = self._running.get(name)
        schema = self.schema(name) or self.find(name).manifest.settings
        if schema is None:
            raise PaddockError(f"{name} has no settings.")
        build(schema, values)
        self.saved.set_settings(name, dict(values), replace=replace)
        if running is not None:
            running.settings = self._settings(name, schema)
        self._tell()

    def install_requirements(self, name: str, consent: str = "", build: str = "") -> None:
        """Install the packages that an extension asks for into its own folder. `consent`: as for `enable`. `build`: the
        sha256 of the files whose packages the user agreed to build from source, which runs the packages' code.

        Raises ConsentNeeded before the user agreed to run the files as they are now, NotBuilt, or PaddockError.
        """
        found = self.find(name)
        self._agree(found, consent)
        if found.problem:
            raise PaddockError(f"The packages of {found.title} cannot be installed. {found.problem}")
        if not self.is_allowed(found):
            raise ConsentNeeded(
                f"{found.title} has not been agreed to, so its packages are not installed either. Look at its files, "
                "and agree to run them, on the Extensions tab."
            )
        self._unbuilt.pop(name, None)
        try:
            agreed = bool(build) and build == found.sha256
            requirements.install(found.manifest.requirements, self.packages(name), build=agreed)
        except requirements.NotBuilt as error:
            self._unbuilt[name] = (found.sha256, error.message)
            raise

    def unbuilt(self, found: ExtensionFolder) -> str:
        """Why packages of an extension wait for a yes to build them; "" if none do."""
        sha256, words = self._unbuilt.get(found.name, ("", ""))
        return words if sha256 == found.sha256 else ""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever an extension's state, order or settings change, from any thread; returns what ends
        that."""
        return self._listeners.add(callback)

    @property
    def active(self) -> bool:
        """Whether any extension is on."""
        return bool(self._running)

    def worker_entries(self) -> list[WorkerEntry]:
        """What the worker is to load: those that are on and have code for it."""
        return [entry for running in self.running() if (entry := worker_entry(running, self.packages(running.name)))]

    def set_working_directory(self, folder: Path) -> None:
        """Let this be the process's working directory until `close`: the code of some extensions needs one."""
        self._patches.change_directory(folder)

    def capture_output(self, running: RunningExtension) -> AbstractContextManager[None]:
        """While the block runs, what this thread prints is kept for that extension's card."""
        return self._console.catching(running.output)

    def refresh_worker(self) -> None:
        """Hand the worker its entries, with the settings as they are now."""
        self._to_worker(self.worker_entries())

    def handle_worker_event(self, event: HookEvent) -> None:
        """An extension's hook in the worker failed (it is off for this session then, as after a fault here), printed,
        or wrote values: a script's are those of its `params`."""
        running = self.get_running(event.extension)
        if running is None:
            return
        if isinstance(event, HookFailed):
            self.fail(running, event.hook, WorkerHookError(event.message), event.detail)
        elif isinstance(event, HookPrinted):
            running.output.write(event.text)
        elif take := getattr(running.plugin, "take_worker_values", None):
            take(event.values)
        else:
            for name, value in event.values.items():
                running.host.store.receive(name, value, event.origin)

    def close(self) -> list[str]:
        """Switch all off. Returns the names of extensions whose threads go on and would hold up the process's end."""
        with self._switch:
            unfinished = []
            for running in self.running():
                self._switch_off(running.name)
                if any(thread.is_alive() and not thread.daemon for thread in running.threads):
                    unfinished.append(running.name)
            self._threads.close()
            self._console.close()
            self._patches.close()
            self._code.close()
            return unfinished

    # Inside

    def allow_imports(self, found: ExtensionFolder) -> None:
        """Let the code of an extension be imported, as it was when it was found; the user agreed to it."""
        self._code.allow(found.path, importable(found.files))

    def _agree(self, found: ExtensionFolder, consent: str) -> None:
        if consent and consent == found.sha256:
            self.saved.consent(found.name, consent)

    def is_allowed(self, found: ExtensionFolder) -> bool:
        """Whether the user agreed to these files, or they ship."""
        return found.shipped or self.saved.consents(found.name, found.sha256)

    def retry_setup(self) -> None:
        """Run those `setup` hooks again that found no service when Paddock started. Raises MessageFailed."""
        for running in self.running():
            if running.waits:
                self.hooks.call(running, "setup")
                running.waits = False

    def _switch_on(self, found: ExtensionFolder, waits: bool = False) -> None:
        """`waits`: it stays on where a service that its `setup` needs does not answer yet."""
        if found.problem:
            raise PaddockError(f"{found.title} cannot be switched on. {found.problem}")
        if not self.is_allowed(found):
            raise ConsentNeeded(
                f"{found.title} brings code that runs with your rights on this machine. Look at its files, and agree "
                "to run them, on the Extensions tab."
            )
        if found.kind not in self._readers:
            raise PaddockError(f"{found.title} is made for text-generation-webui, which this Paddock cannot run.")
        needs = requirements.check(found.manifest.requirements, self.packages(found.name))
        missing = [need.text for need in needs if need.state == "missing"]
        if missing:
            raise requirements.RequirementsMissing(
                f"{found.title} needs packages that are not installed: {', '.join(missing)}. Install them on the "
                "Extensions tab; they go into a folder of its own."
            )
        self._patches.watch_gradio()
        self._console.open()
        running = self._load(found)
        with self._lock:
            self._running[found.name] = running
        self._arrange()
        before = set(threading.enumerate())
        try:
            self.hooks.call(running, "setup")
        except MessageFailed as failure:
            running.waits = True
            if not waits:
                self._switch_off(found.name)
                words = running.last_failure.message if running.last_failure else failure.message
                self._faults[found.name] = Fault("setup", words, failure.detail)
                raise PaddockError(
                    f"{words} Check what it needs, then switch it on again.", detail=failure.detail
                ) from None
        running.threads |= set(threading.enumerate()) - before
        self.undo_patches(running, "setup")
        running.routes = declared_routes(self.hooks, running, self.fail)
        if found.name not in self._running:
            fault = self._faults[found.name]
            raise PaddockError(fault.message, detail=fault.detail)

    def _load(self, found: ExtensionFolder) -> RunningExtension:
        name = found.name
        data = self._data / name
        host = Host(
            name,
            found.path,
            data,
            self._app,
            lambda: self.saved.settings(name),
            lambda values: self._keep(name, values),
        )
        running = RunningExtension(
            name,
            found.title,
            host,
            seconds=found.manifest.seconds or (_SCRIPT_SECONDS if found.kind == "script.py" else 0.0),
            source=found,
            worker=worker_part(found),
        )
        before = set(threading.enumerate())

        self.allow_imports(found)

        def read() -> None:
            add_packages(self.packages(name))
            running.plugin = self._readers[found.kind](found, host)
            running.impls = implementations(name, running.plugin)
            params = getattr(running.plugin, "params", None)
            params = params if isinstance(params, dict) else {}
            running.title = str(params.get("display_name") or found.title)
            running.is_tab = bool(params.get("is_tab"))
            schema = getattr(running.plugin, "Settings", None) or found.manifest.settings
            running.settings = self._settings(name, schema)
            running.shows_prefix = bool(getattr(running.plugin, "shows_prefix", True))
            running.notes = tuple(misspelt(running.plugin)) if found.kind == "extension.py" else ()

        running.seconds, limit = max(running.seconds, _LOAD_SECONDS), running.seconds
        worked, _ = self.hooks.call(running, "load", run=read)
        running.seconds = limit
        running.threads = set(threading.enumerate()) - before
        self.undo_patches(running, "load")
        if not worked or name in self._faults:
            fault = self._faults[name]
            raise PaddockError(fault.message, detail=fault.detail)
        return running

    def undo_patches(self, running: RunningExtension, hook: str) -> None:
        """Undo what an extension put in the place of the host's own, and switch it off if it did."""
        self._patches.watch_gradio()
        if replaced := self._patches.restore():
            names = ", ".join(replaced)
            self.fail(running, hook, RuntimeError(f"it replaced {names}, which everybody uses; that was undone"))

    def _keep(self, name: str, values: Mapping[str, Any]) -> None:
        """What an extension's own code keeps of its settings; it may keep more than its `Settings` name."""
        schema = self.schema(name)
        known = {entry.name for entry in describe(schema)} if schema else set()
        if schema:
            build(schema, {key: value for key, value in values.items() if key in known and value is not None})
        self.saved.set_settings(name, dict(values))
        if running := self.get_running(name):
            running.settings = self._settings(name, schema)

    def _settings(self, name: str, schema: type[Any] | None) -> Any:
        """The settings now: what was kept, as far as the schema still has it."""
        kept = self.saved.settings(name)
        if schema is None:
            return SimpleNamespace(**kept)
        known = {entry.name for entry in describe(schema)}
        try:
            return build(schema, {key: value for key, value in kept.items() if key in known})
        except PaddockError as error:
            _LOG.warning("%s: %s Its defaults are used.", name, error.message)
            return schema()

    def _switch_off(self, name: str) -> None:
        running = self._without(name)
        if running is not None:
            self.hooks.try_call(running, "teardown")
            forget(name)

    def fail(self, member: HookedExtension, hook: str, error: BaseException, detail: str = "") -> MessageFailed | None:
        """An extension failed. After a fault in its code it is off until Paddock starts again, or until the user tries
        it again. Where something outside of it failed, it stays on, and what is returned fails the message."""
        if isinstance(error, MessageFailed):
            return error
        words = (detail or "".join(traceback.format_exception(type(error), error, error.__traceback__)))[-20_000:]
        if hook != "load" and is_outside(error):
            return self._outside_failure(member, hook, error, words)
        reason = describe_error(error)
        message = f"{member.title} failed in {hook} and is switched off until Paddock starts again: {reason}."
        if hook == "load":
            message = f"{member.title} could not be loaded: {reason}."
        self._faults[member.name] = Fault(hook, message, words)
        self.revision += 1
        self.fault_log.append(message)
        _LOG.warning("%s", message)
        self._without(member.name)
        # Tried again, it begins anew.
        forget(member.name)
        self._tell()
        return None

    def _outside_failure(self, member: HookedExtension, hook: str, error: BaseException, detail: str) -> MessageFailed:
        """Something outside of the extension failed: its card says so until the hook works again."""
        message = f"{member.title} could not do its part ({hook}): {describe_error(error)}."
        advice = "Check what it needs, then try again. It stays on; switch it off on the Extensions tab to do without."
        _LOG.warning("%s", message)
        member.last_failure = Fault(hook, message, detail)
        self._bump()
        return MessageFailed(f"{message} {advice}", detail=detail)

    def _without(self, name: str) -> RunningExtension | None:
        with self._lock:
            running = self._running.pop(name, None)
        self._arrange()
        return running

    def _arrange(self) -> None:
        order = self.saved.order
        with self._lock:
            members: list[HookedExtension] = [self._running[name] for name in order if name in self._running]
            members += [running for name, running in self._running.items() if name not in order]
            self.hooks.set(members)

    def _changed(self) -> None:
        self._arrange()
        self._tell()

    def _tell(self) -> None:
        self.refresh_worker()
        self._announce()

    def _bump(self) -> None:
        self.revision += 1
        self._announce()

    def _announce(self) -> None:
        self._listeners.notify()

    def fault(self, name: str) -> Fault | None:
        """Why an extension was switched off, if it was."""
        return self._faults.get(name)
