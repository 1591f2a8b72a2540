"""Keeps Gradio from comparing and writing a .pyi file for each of its components when it is imported.

That takes about a third of the import, and only editors read the files. Leans on the function `create_or_modify_pyi` of
`gradio.component_meta`, which Gradio calls for each class of a component.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MODULE = "gradio.component_meta"


def skip_stub_files() -> None:
    """Change Gradio's module once it is imported. Call this before Gradio's first import; later it does nothing."""
    if _MODULE not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds only that module, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Executes the module with its own loader, and replaces the function."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        if hasattr(module, "create_or_modify_pyi"):
            module.create_or_modify_pyi = _write_nothing  # type: ignore[attr-defined]


def _write_nothing(component_class: type, class_name: str, events: Sequence[object]) -> None:
    """Stand in for create_or_modify_pyi."""
