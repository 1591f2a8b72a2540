"""Which code of an extension is for the worker's process, and what goes with it."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from modules.plugins.code_files import importable
from modules.plugins.folders import ExtensionFolder
from modules.plugins.hooks import WORKER_HOOKS

FILE = "worker.py"


@dataclass(frozen=True)
class WorkerEntry:
    """One file for the worker to import. `kind`: its name; `settings`: what its hooks get; `packages`: where its own
    packages lie; `hooks`: which it has; `folder`: the extension's; `files`: digests of the code there that may be
    imported; `sha256`: of all its code; `store`: the values that it shares with
    its code in the host."""

    name: str
    path: str
    kind: str
    settings: dict[str, Any]
    packages: str
    hooks: tuple[str, ...]
    folder: str
    files: dict[str, str]
    sha256: str
    store: dict[str, Any]


def worker_entry(running: Any, packages: Path) -> WorkerEntry | None:
    """What the worker is to load of this running extension, or None. `script.py` may hold worker hooks itself."""
    if running.worker is None:
        return None
    path, hooks = running.worker
    found = running.source
    return WorkerEntry(
        running.name,
        str(path),
        path.name,
        _values(running),
        str(packages),
        hooks,
        str(found.path),
        importable(found.files),
        found.sha256,
        running.host.store.export(),
    )


def _values(running: Any) -> dict[str, Any]:
    if values := getattr(running.plugin, "worker_values", None):
        return dict(values())
    settings = running.settings
    if is_dataclass(settings) and not isinstance(settings, type):
        return asdict(settings)
    return dict(vars(settings))


def worker_part(found: ExtensionFolder) -> tuple[Path, tuple[str, ...]] | None:
    """(the file for the worker, the hooks that it defines), read without running it; None where there are none."""
    path = found.path / (FILE if found.kind == "extension.py" else found.kind)
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    hooks = tuple(name for name in WORKER_HOOKS if name in names)
    return (path, hooks) if hooks else None
