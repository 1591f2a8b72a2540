"""A running extension, the collection of all of them, and errors of their code as text."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.folders import ExtensionFolder
from modules.plugins.hook_calls import HookCaller, HookedExtension
from modules.plugins.hook_threads import HookTimeout
from modules.protocol.errors import PaddockError

# Errors of an extension's script on the page that are stored, and characters of each.
_MOST_PAGE_ERRORS = 5
_LONGEST = 500


class WorkerHookError(Exception):
    """A hook failed in the worker. The message is the worker's."""


@dataclass(kw_only=True)
class RunningExtension(HookedExtension):
    """A running extension.

    `plugin`: its module, or what a reader made of it. `worker`: its file for the worker, and the hooks in that file.
    `routes`: functions by "METHOD path". `threads`: threads that its code started while it was loaded and set up.
    `needs_setup`: its `setup` failed because a service did not answer, and runs again later. `page_errors`: sentences
    about its script on the page.
    """

    source: ExtensionFolder
    plugin: Any = None
    worker: tuple[Path, tuple[str, ...]] | None = None
    routes: dict[str, Callable[..., Any]] = field(default_factory=dict)
    is_tab: bool = False
    notes: tuple[str, ...] = ()
    threads: set[threading.Thread] = field(default_factory=set)
    needs_setup: bool = False
    page_errors: tuple[str, ...] = ()

    def failed_on_page(self, error: str) -> None:
        """Record an error that its JavaScript raised on the page."""
        sentence = f"Its script failed on the page: {error[:_LONGEST].rstrip('.')}."
        if sentence not in self.page_errors:
            self.page_errors = (*self.page_errors, sentence)[-_MOST_PAGE_ERRORS:]


class RunningExtensions:
    """The extensions that are on, in the saved order. Keeps the order of the hooks. Safe from any thread."""

    def __init__(self, saved: ExtensionSettings, hooks: HookCaller) -> None:
        self._saved = saved
        self._hooks = hooks
        self._lock = threading.Lock()
        self._by_name: dict[str, RunningExtension] = {}

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def get(self, name: str) -> RunningExtension | None:
        """Return the running extension of that name, or None."""
        with self._lock:
            return self._by_name.get(name)

    def in_order(self) -> list[RunningExtension]:
        """Return the running extensions in the saved order."""
        order = self._saved.order
        with self._lock:
            return [self._by_name[name] for name in order if name in self._by_name]

    def add(self, running: RunningExtension) -> None:
        """Run the hooks of this extension from now on."""
        with self._lock:
            self._by_name[running.name] = running
        self.arrange()

    def remove(self, name: str) -> RunningExtension | None:
        """Stop running the hooks of an extension. Return it; None if it is not on."""
        with self._lock:
            running = self._by_name.pop(name, None)
        self.arrange()
        return running

    def arrange(self) -> None:
        """Put the hooks into the saved order. An extension that is being switched on comes last."""
        order = self._saved.order
        with self._lock:
            extensions: list[HookedExtension] = [self._by_name[name] for name in order if name in self._by_name]
            extensions += [running for name, running in self._by_name.items() if name not in order]
            self._hooks.set(extensions)


def describe_error(error: BaseException) -> str:
    """Return an error of an extension's code as the end of a sentence."""
    if isinstance(error, SystemExit):
        return "it called sys.exit"
    if isinstance(error, HookTimeout):
        return f"it {error}"
    if isinstance(error, WorkerHookError):
        return str(error)
    if isinstance(error, PaddockError):
        return error.message.rstrip(".")
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed"
    return f"{type(error).__name__}: {error}".rstrip(".: ")
