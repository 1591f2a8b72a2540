"""Imports an extension's extension.py, as a separate package that no other code imports by accident."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Protocol

from modules.plugins.extension_host import Host
from modules.plugins.folders import ExtensionFolder
from modules.system.source_loader import CurrentSourceLoader

PACKAGE = "paddock_extensions"


class Reader(Protocol):
    """Imports an extension and returns a plugin: an object whose hooks are attributes and take arguments by name.

    A plugin may also have these attributes:

    - `params`: a dictionary with title and is_tab.
    - `Settings`: a dataclass of `setting(...)` fields.
    - `worker_values()`: returns the settings of its hooks in the worker, before each reply.
    - `take_worker_values(values)`: receives the values that those hooks changed.
    - `shows_prefix`: False if the page hides the text that its `bot_prefix_modifier` adds.
    - `http_middlewares`: coroutine functions of (request, call_next), as in Starlette, around each API request.

    Raises what the extension's code raises.
    """

    def __call__(self, source: ExtensionFolder, host: Host) -> object: ...


def read_extension(source: ExtensionFolder, host: Host) -> ModuleType:
    """Import `extension.py`. It may import files of its folder with `from . import …`."""
    name = f"{PACKAGE}.{source.name}"
    package(PACKAGE, None)
    package(name, source.path)
    full = f"{name}.extension"
    file = source.path / source.kind
    spec = importlib.util.spec_from_file_location(full, file, loader=CurrentSourceLoader(full, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


def forget(name: str) -> None:
    """Remove an extension's modules from sys.modules, so that switching it on again reads its files again."""
    prefix = f"{PACKAGE}.{name}"
    for known in [known for known in list(sys.modules) if known == prefix or known.startswith(f"{prefix}.")]:
        sys.modules.pop(known, None)


def add_packages(folder: Path) -> None:
    """Let imports find an extension's own packages, after the host's packages."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))


def package(name: str, folder: Path | None) -> None:
    """Create a package of that name with its modules in `folder`, unless it exists."""
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)] if folder else []
        sys.modules[name] = importlib.util.module_from_spec(spec)
