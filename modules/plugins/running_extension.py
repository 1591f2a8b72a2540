"""A running extension, and why one does not run any more, in words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.plugins.folders import ExtensionFolder
from modules.plugins.hook_calls import HookedExtension
from modules.plugins.hook_threads import HookTimeout
from modules.protocol.errors import PaddockError

# Faults of a script on the page that are kept, and characters of each.
_MOST_FAULTS = 5
_LONGEST = 500


class WorkerHookError(Exception):
    """What a hook raised in the worker, in words."""


@dataclass(kw_only=True)
class RunningExtension(HookedExtension):
    """A running extension. `threads`: those that were there after its code had run, and not before.
    `worker`: its file for the worker and the hooks in it. `routes`: "GET path" -> function. `waits`: its `setup` is to
    run again, as what it needs did not answer. `page_faults`: sentences about its script on the page."""

    source: ExtensionFolder
    plugin: Any = None
    worker: tuple[Path, tuple[str, ...]] | None = None
    routes: dict[str, Callable[..., Any]] = field(default_factory=dict)
    is_tab: bool = False
    notes: tuple[str, ...] = ()
    threads: set[threading.Thread] = field(default_factory=set)
    waits: bool = False
    page_faults: tuple[str, ...] = ()

    def failed_on_page(self, error: str) -> None:
        """Its JavaScript raised this on the page."""
        sentence = f"Its script failed on the page: {error[:_LONGEST].rstrip('.')}."
        if sentence not in self.page_faults:
            self.page_faults = (*self.page_faults, sentence)[-_MOST_FAULTS:]


def describe_error(error: BaseException) -> str:
    """What an extension's code raised, as the end of a sentence."""
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
