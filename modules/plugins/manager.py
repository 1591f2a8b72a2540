"""Switches extensions on and off, and keeps their order. The composition root of this room."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modules.plugins.api_routes import declared_routes
from modules.plugins.configuration import Configuration
from modules.plugins.consent import Consent, ConsentNeeded
from modules.plugins.console import Console
from modules.plugins.extension_import import Reader, forget, read_extension
from modules.plugins.extension_loader import ExtensionLoader
from modules.plugins.extension_packages import ExtensionPackages
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.extension_status import Fault
from modules.plugins.failure_log import FailureLog
from modules.plugins.failures import MessageFailed
from modules.plugins.folders import ExtensionFolder, discover
from modules.plugins.hook_calls import HookCaller
from modules.plugins.hook_threads import HookThreads
from modules.plugins.running_extension import RunningExtension, RunningExtensions
from modules.plugins.worker_hooks import WorkerEntry, WorkerHooks
from modules.protocol.errors import PaddockError
from modules.system.listeners import Listeners

_LOG = logging.getLogger(__name__)


class ExtensionManager:
    """Discovers extensions and switches them on and off. Safe from any thread.

    `roots`: folders that hold extensions. `packages`: holds the packages of extensions, one folder each. `data`: holds
    what they write, one folder each. `app`: given to extensions as `host.app`. `readers`: makes a plugin of each kind
    of entry file. `idle_reason()`: a sentence saying why hooks in the worker do not run now; "" if they do.
    `send_to_worker(entries)`: gives the worker the files to load. `installed`: folders of extensions in installed
    Python packages, by name.

    Its parts: `saved`, `running`, `hooks`, `failures`, `consent`, `packages`, `configuration`, `loader`, `worker`.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        packages: Path,
        data: Path,
        saved: ExtensionSettings,
        app: object,
        readers: Mapping[str, Reader] | None = None,
        idle_reason: Callable[[], str] = lambda: "",
        send_to_worker: Callable[[list[WorkerEntry]], None] = lambda entries: None,
        installed: Mapping[str, Path] | None = None,
    ) -> None:
        self.roots = tuple(roots)
        self.installed = dict(installed or {})
        self.saved = saved
        self.consent = Consent(saved)
        self.packages = ExtensionPackages(packages)
        self._threads = HookThreads()
        self._listeners: Listeners[Callable[[], None]] = Listeners()
        self.failures = FailureLog(self._drop, self._listeners.notify)
        console = Console()
        self.hooks = HookCaller(self._threads, console, self.failures.report, self.failures.changed)
        self.running = RunningExtensions(saved, self.hooks)
        self.configuration = Configuration(saved, self.running)
        self.worker = WorkerHooks(self.running, self.packages, self.failures, send_to_worker, idle_reason)
        self.loader = ExtensionLoader(
            {"extension.py": read_extension, **(readers or {})},
            app,
            data,
            saved,
            self.packages,
            self.configuration,
            self.hooks,
            self.failures,
            console,
        )
        # Held while one extension is switched on or off, which may take long.
        self._switch = threading.RLock()

    def available(self) -> dict[str, ExtensionFolder]:
        """Return every extension on disk by name."""
        return discover(self.roots, self.installed)

    def find(self, name: str) -> ExtensionFolder:
        """Return the extension of that name. Raises PaddockError with the names that exist."""
        available = self.available()
        if name not in available:
            names = ", ".join(available) or "none yet"
            raise PaddockError(f"There is no extension named {name!r}. The extensions are: {names}.")
        return available[name]

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when an extension's state, order or settings change, from any thread.

        Return a function that ends the subscription.
        """
        return self._listeners.add(callback)

    def start(self) -> None:
        """Switch on the extensions that were on last time. Failures are shown in their status; nothing is raised."""
        for name in self.saved.order:
            if self.running.get(name):
                continue
            try:
                self._switch_on(self.find(name), may_wait=True)
            except ConsentNeeded as error:
                _LOG.warning("%s", error.message)
            except PaddockError as error:
                self.failures.set(name, Fault("start", error.message, error.detail))
                _LOG.warning("%s", error.message)

    def enable(self, name: str, consent: str = "") -> None:
        """Switch an extension on, and remember it. `consent`: the sha256 of the files that the user agreed to run.

        Raises ConsentNeeded, RequirementsMissing, or a PaddockError saying what is wrong with the extension.
        """
        source = self.find(name)
        self.consent.give(source, consent)
        self.failures.clear(name)
        with self._switch:
            if self.running.get(name):
                return
            self._switch_on(source)
            if name not in self.saved.order:
                self.saved.order = [*self.saved.order, name]
            self._changed()

    def disable(self, name: str) -> None:
        """Switch an extension off, and remember that."""
        with self._switch:
            self.saved.order = [known for known in self.saved.order if known != name]
            self.failures.clear(name)
            self._switch_off(name)
            self._changed()

    def move(self, name: str, place: int) -> None:
        """Move an extension to this position of the order, from 0."""
        with self._switch:
            order = self.saved.order
            if name not in order:
                raise PaddockError(f"{name} is not switched on, so it has no place in the order. Switch it on first.")
            order.remove(name)
            order.insert(max(0, min(place, len(order))), name)
            self.saved.order = order
            self._changed()

    def configure(self, name: str, values: Mapping[str, object], *, replace: bool = False) -> None:
        """Save settings of an extension. `replace`: delete all other settings of it. Raises SettingError."""
        schema = self.configuration.schema(name) or self.find(name).manifest.settings
        self.configuration.set(name, schema, values, replace=replace)
        self._changed()

    def install_packages(self, name: str, consent: str = "", build: str = "") -> None:
        """Install the packages of an extension into its own folder. `consent`: as for `enable`. `build`: the sha256 of
        the files whose packages the user agreed to build from source, which runs the packages' code.

        Raises ConsentNeeded, NotBuilt or PaddockError.
        """
        source = self.find(name)
        self.consent.give(source, consent)
        if not source.problem:
            self.consent.require(
                source,
                f"You have not agreed to run {source.title}, so its packages are not installed. Look at its files, "
                "then allow it on the Extensions tab.",
            )
        self.packages.install(source, build=bool(build) and build == source.sha256)

    def retry_setup(self) -> None:
        """Run `setup` again for extensions whose service did not answer when Paddock started. Raises MessageFailed."""
        for running in self.running.in_order():
            if running.needs_setup:
                self.hooks.call(running, "setup")
                running.needs_setup = False

    def close(self) -> list[str]:
        """Switch all off. Return the names of extensions whose threads still run and would delay the process's end."""
        with self._switch:
            unfinished = []
            for running in self.running.in_order():
                self._switch_off(running.name)
                if any(thread.is_alive() and not thread.daemon for thread in running.threads):
                    unfinished.append(running.name)
            self._threads.close()
            self.loader.close()
            return unfinished

    def _switch_on(self, source: ExtensionFolder, may_wait: bool = False) -> None:
        """`may_wait`: leave it on if a service that its `setup` needs does not answer yet."""
        if not source.problem:
            self.consent.require(
                source,
                f"{source.title} brings code that runs with your rights on this machine. Look at its files, then allow "
                "it on the Extensions tab.",
            )
        running = self.loader.load(source)
        self.running.add(running)
        failure = self.loader.set_up(running)
        if failure is not None and not may_wait:
            self._fail_setup(running, failure)
        running.routes = declared_routes(self.hooks, running, self.failures.report)
        if not self.running.get(source.name) and (fault := self.failures.get(source.name)):
            raise PaddockError(fault.message, detail=fault.detail)

    def _fail_setup(self, running: RunningExtension, failure: MessageFailed) -> None:
        self._switch_off(running.name)
        message = running.last_failure.message if running.last_failure else failure.message
        self.failures.set(running.name, Fault("setup", message, failure.detail))
        raise PaddockError(f"{message} Check what it needs, then switch it on again.", detail=failure.detail) from None

    def _switch_off(self, name: str) -> None:
        if running := self.running.remove(name):
            self.loader.unload(running)

    def _drop(self, name: str) -> None:
        """End an extension after an error in its code, without calling it again."""
        self.running.remove(name)
        forget(name)
        self.worker.refresh()

    def _changed(self) -> None:
        self.running.arrange()
        self.worker.refresh()
        self._listeners.notify()
