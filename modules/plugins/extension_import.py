"""Runs the code of an extension's extension.py, as a package of its own that nothing else imports by accident."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from modules.plugins.extension_host import Host
from modules.plugins.folders import ExtensionFolder

PACKAGE = "paddock_extensions"


class Reader(Protocol):
    """Turns a folder into a plugin: any object whose attributes are named as hooks and take their arguments by name.

    May also have `params` (title, is_tab), `Settings` (a dataclass of `setting(...)`), `worker_values()` (a dictionary
    that the worker's hooks get as settings, asked before each reply), `take_worker_values(values)`
    (called with what those hooks changed in them), `shows_prefix` (False: the page hides what its
    `bot_prefix_modifier` adds), and `http_middlewares` (coroutine functions of
    (request, call_next) as Starlette has them, around requests to the API, asked for each). Raises what its code does.
    """

    def __call__(self, found: ExtensionFolder, host: Host) -> Any: ...


def read_extension(found: ExtensionFolder, host: Host) -> ModuleType:
    """Import `extension.py`; it may import the files beside it with `from . import …`."""
    name = f"{PACKAGE}.{found.name}"
    package(PACKAGE, None)
    package(name, found.path)
    full = f"{name}.extension"
    spec = importlib.util.spec_from_file_location(full, found.path / found.kind)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


def forget(name: str) -> None:
    """Take an extension's modules out of sys.modules, so that switching it on again reads its files anew."""
    prefix = f"{PACKAGE}.{name}"
    for known in [known for known in list(sys.modules) if known == prefix or known.startswith(f"{prefix}.")]:
        sys.modules.pop(known, None)


def add_packages(folder: Path) -> None:
    """Let imports find an extension's own packages, after the host's: those are never changed, nor hidden."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))


def package(name: str, folder: Path | None) -> None:
    """Make a package of that name, whose modules lie in `folder`, unless there is one."""
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)] if folder else []
        sys.modules[name] = importlib.util.module_from_spec(spec)
