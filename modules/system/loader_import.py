"""Imports the two files of a loader from any folder. Standard library only: host and workers use it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def import_loader_module(name: str, part: str, folder: Path | None = None) -> ModuleType:
    """Import and return `loaders.NAME.PART`, where PART is "spec" or "worker". Raise what the import raises.

    `folder`: the folder of a loader that is not in loaders/. Its files may import each other with `from . import`.
    """
    package = f"loaders.{name}"
    if folder is not None:
        known = sys.modules.get(package)
        if known is None or list(getattr(known, "__path__", ())) != [str(folder)]:
            _make_package(package, folder)
    return importlib.import_module(f"{package}.{part}")


def make_paddock_importable(root: Path) -> None:
    """Make `import paddock` work in a worker.

    In an installed Paddock the program's folder `root` is inside the package `paddock`; in a clone it is next to it.
    """
    if (file := root / "paddock" / "__init__.py").is_file() or (file := root.parent / "__init__.py").is_file():
        spec = importlib.util.spec_from_file_location("paddock", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["paddock"] = module
        spec.loader.exec_module(module)


def forget_loader_modules(name: str) -> None:
    """Drop the imported modules of a loader, so that the next import reads its files again."""
    package = f"loaders.{name}"
    for module in [module for module in sys.modules if module == package or module.startswith(f"{package}.")]:
        del sys.modules[module]


def _make_package(package: str, folder: Path) -> None:
    forget_loader_modules(package.partition(".")[2])
    spec = ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[package] = importlib.util.module_from_spec(spec)
