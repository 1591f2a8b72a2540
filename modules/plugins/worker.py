"""Which code of an extension is for the worker's process, and what goes with it."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from modules.plugins.hooks import WORKER_HOOKS

FILE = "worker.py"


@dataclass(frozen=True)
class WorkerEntry:
    """One file for the worker to import. `kind`: its name; `settings`: what its hooks get; `packages`: where its own
    packages lie; `hooks`: which it has."""

    name: str
    path: str
    kind: str
    settings: dict[str, Any]
    packages: str
    hooks: tuple[str, ...]


def worker_entry(running: Any, packages: Path) -> WorkerEntry | None:
    """What the worker is to load of this running extension, or None. `script.py` may hold worker hooks itself."""
    folder: Path = running.found.folder
    path = folder / FILE if running.found.kind == "extension.py" else folder / running.found.kind
    if not path.is_file():
        return None
    hooks = worker_hooks(path, path.stat().st_mtime_ns)
    if not hooks:
        return None
    return WorkerEntry(running.name, str(path), path.name, _values(running), str(packages), hooks)


def _values(running: Any) -> dict[str, Any]:
    if values := getattr(running.plugin, "worker_values", None):
        return dict(values())
    settings = running.settings
    if is_dataclass(settings) and not isinstance(settings, type):
        return asdict(settings)
    return dict(vars(settings))


@lru_cache(maxsize=256)
def worker_hooks(path: Path, stamp: int) -> tuple[str, ...]:
    """The worker's hooks that a file defines, read without running it. `stamp`: its time of change."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return tuple(name for name in WORKER_HOOKS if name in names)
