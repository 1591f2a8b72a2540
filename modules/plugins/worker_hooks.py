"""Hooks of extensions that run in the worker: which code to load there, and what comes back from it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path

from modules.plugins.code_files import importable
from modules.plugins.extension_packages import ExtensionPackages
from modules.plugins.failure_log import FailureLog
from modules.plugins.folders import ExtensionFolder
from modules.plugins.hooks import WORKER_HOOKS
from modules.plugins.running_extension import RunningExtension, RunningExtensions, WorkerHookError
from modules.protocol.events import HookEvent, HookFailed, HookPrinted

FILE = "worker.py"


@dataclass(frozen=True)
class WorkerEntry:
    """One file that the worker imports.

    `kind`: the file's name. `settings`: passed to its hooks. `packages`: the folder of the extension's own packages.
    `hooks`: the hooks in the file. `folder`: the extension's folder. `files`: digests of the code there that may be
    imported. `sha256`: the fingerprint of all its code. `store`: values shared with its code in the host.
    """

    name: str
    path: str
    kind: str
    settings: dict[str, object]
    packages: str
    hooks: tuple[str, ...]
    folder: str
    files: dict[str, str]
    sha256: str
    store: dict[str, object]


class WorkerHooks:
    """Connects running extensions to the worker.

    `send(entries)` gives the worker the files to load. `idle_reason()` returns a sentence saying why hooks do not run
    with the loaded model; "" if they do.
    """

    def __init__(
        self,
        running: RunningExtensions,
        packages: ExtensionPackages,
        failures: FailureLog,
        send: Callable[[list[WorkerEntry]], None],
        idle_reason: Callable[[], str],
    ) -> None:
        self._running = running
        self._packages = packages
        self._failures = failures
        self._send = send
        self.idle_reason = idle_reason

    def entries(self) -> list[WorkerEntry]:
        """Return the files for the worker of all extensions that are on."""
        running = self._running.in_order()
        return [entry for one in running if (entry := worker_entry(one, self._packages.folder(one.name)))]

    def refresh(self) -> None:
        """Send the worker its files with the current settings."""
        self._send(self.entries())

    def handle_event(self, event: HookEvent) -> None:
        """Handle a worker's message about an extension: a failure, printed text, or changed values.

        A failure switches the extension off, as one in the host does.
        """
        running = self._running.get(event.extension)
        if running is None:
            return
        if isinstance(event, HookFailed):
            self._failures.report(running, event.hook, WorkerHookError(event.message), event.detail)
        elif isinstance(event, HookPrinted):
            running.output.write(event.text)
        elif take := getattr(running.plugin, "take_worker_values", None):
            take(event.values)
        else:
            for name, value in event.values.items():
                running.host.store.receive(name, value, event.origin)


def worker_entry(running: RunningExtension, packages: Path) -> WorkerEntry | None:
    """Return the file that the worker loads for an extension, or None. A `script.py` may hold worker hooks too."""
    if running.worker is None:
        return None
    path, hooks = running.worker
    source = running.source
    return WorkerEntry(
        running.name,
        str(path),
        path.name,
        _settings(running),
        str(packages),
        hooks,
        str(source.path),
        importable(source.files),
        source.sha256,
        running.host.store.export(),
    )


def worker_part(source: ExtensionFolder) -> tuple[Path, tuple[str, ...]] | None:
    """Return (the file for the worker, the hooks that it defines) without running it; None if there are none."""
    path = source.path / (FILE if source.kind == "extension.py" else source.kind)
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    hooks = tuple(name for name in WORKER_HOOKS if name in names)
    return (path, hooks) if hooks else None


def _settings(running: RunningExtension) -> dict[str, object]:
    if values := getattr(running.plugin, "worker_values", None):
        return dict(values())
    settings = running.settings
    if is_dataclass(settings) and not isinstance(settings, type):
        return asdict(settings)
    return dict(vars(settings))
