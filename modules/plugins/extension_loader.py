"""Loads and unloads one extension: its code, its `setup`, its `teardown`, and the undoing of what it replaced."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from modules.plugins.code_files import importable
from modules.plugins.configuration import Configuration, schema_of
from modules.plugins.console import Console
from modules.plugins.extension_host import Host
from modules.plugins.extension_import import Reader, add_packages, forget
from modules.plugins.extension_packages import ExtensionPackages
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.failure_log import FailureLog
from modules.plugins.failures import MessageFailed
from modules.plugins.folders import ExtensionFolder
from modules.plugins.hook_calls import HookCaller
from modules.plugins.hook_signatures import implementations, misspelled_hooks
from modules.plugins.patch_guard import PatchGuard
from modules.plugins.running_extension import RunningExtension
from modules.plugins.worker_hooks import worker_part
from modules.protocol.errors import PaddockError
from modules.system.code_allowlist import CodeAllowlist

_LOAD_SECONDS = 120.0
# Scripts were written for a host without time limits: one of their hooks may speak a reply or query the model.
_SCRIPT_SECONDS = 120.0


class ExtensionLoader:
    """Runs the code of extensions that the user has agreed to run.

    `readers`: makes a plugin of each kind of entry file. `app`: given to extensions as `host.app`. `data`: holds one
    folder per extension, for what it writes.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        app: object,
        data: Path,
        saved: ExtensionSettings,
        packages: ExtensionPackages,
        configuration: Configuration,
        hooks: HookCaller,
        failures: FailureLog,
        console: Console,
    ) -> None:
        self._readers = readers
        self._app = app
        self._data = data
        self._saved = saved
        self._packages = packages
        self._configuration = configuration
        self._hooks = hooks
        self._failures = failures
        self._console = console
        self._patches = PatchGuard()
        self._allowlist = CodeAllowlist()

    def load(self, source: ExtensionFolder) -> RunningExtension:
        """Import an extension. Raises RequirementsMissing, or PaddockError with what is wrong with it."""
        if source.problem:
            raise PaddockError(f"{source.title} cannot be switched on. {source.problem}")
        if source.kind not in self._readers:
            raise PaddockError(f"{source.title} is made for text-generation-webui, which this Paddock cannot run.")
        self._packages.require(source)
        self._patches.watch_gradio()
        self._console.open()
        self.allow_imports(source)
        running = self._prepare(source)
        before = set(threading.enumerate())
        limit, running.seconds = running.seconds, max(running.seconds, _LOAD_SECONDS)
        worked, _ = self._hooks.call(running, "load", run=lambda: self._import(running))
        running.seconds = limit
        running.threads = set(threading.enumerate()) - before
        self.undo_patches(running, "load")
        fault = self._failures.get(source.name)
        if fault is not None:
            raise PaddockError(fault.message, detail=fault.detail)
        assert worked
        return running

    def set_up(self, running: RunningExtension) -> MessageFailed | None:
        """Run the hook `setup`. Return the error if something outside of the extension failed, such as a service."""
        failure = None
        before = set(threading.enumerate())
        try:
            self._hooks.call(running, "setup")
        except MessageFailed as error:
            failure = error
        running.needs_setup = failure is not None
        running.threads |= set(threading.enumerate()) - before
        self.undo_patches(running, "setup")
        return failure

    def unload(self, running: RunningExtension) -> None:
        """Run the hook `teardown`, and forget the imported modules."""
        self._hooks.try_call(running, "teardown")
        forget(running.name)

    def allow_imports(self, source: ExtensionFolder) -> None:
        """Let the code of an extension be imported as it was when the user agreed to run it."""
        self._allowlist.allow(source.path, importable(source.files))

    def undo_patches(self, running: RunningExtension, hook: str) -> None:
        """Restore functions and classes of the host that an extension replaced, and switch it off if it did."""
        self._patches.watch_gradio()
        if replaced := self._patches.restore():
            names = ", ".join(replaced)
            error = RuntimeError(f"it replaced {names}, which other code uses too; that was undone")
            self._failures.report(running, hook, error)

    def capture_output(self, running: RunningExtension) -> AbstractContextManager[None]:
        """Within the block, show what this thread prints on the extension's card."""
        return self._console.capture(running.output)

    def set_working_directory(self, folder: Path) -> None:
        """Change the process's working directory until `close`: the code of some extensions needs one."""
        self._patches.change_directory(folder)

    def close(self) -> None:
        """Give back the console and the working directory, and allow no more imports."""
        self._console.close()
        self._patches.close()
        self._allowlist.close()

    def _prepare(self, source: ExtensionFolder) -> RunningExtension:
        name = source.name

        host = Host(
            name,
            source.path,
            self._data / name,
            self._app,
            lambda: self._saved.settings(name),
            lambda values: self._configuration.set_by_extension(name, values),
        )
        seconds = source.manifest.seconds or (_SCRIPT_SECONDS if source.kind == "script.py" else 0.0)
        return RunningExtension(name, source.title, host, seconds=seconds, source=source, worker=worker_part(source))

    def _import(self, running: RunningExtension) -> None:
        """Read the entry file. Runs on a hook thread, within the time budget of loading."""
        source, name = running.source, running.name
        add_packages(self._packages.folder(name))
        running.plugin = self._readers[source.kind](source, running.host)
        running.impls = implementations(name, running.plugin)
        params = getattr(running.plugin, "params", None)
        params = params if isinstance(params, dict) else {}
        running.title = str(params.get("display_name") or source.title)
        running.is_tab = bool(params.get("is_tab"))
        running.settings = self._configuration.values(name, schema_of(running))
        running.shows_prefix = bool(getattr(running.plugin, "shows_prefix", True))
        running.notes = tuple(misspelled_hooks(running.plugin)) if source.kind == "extension.py" else ()
