"""Finds and runs the files of text-generation-webui's extensions with their own builtins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from modules.system.source_loader import CurrentSourceLoader


class ScriptLoader(CurrentSourceLoader):
    """Runs a file of a script with the scripts' builtins."""

    def __init__(self, fullname: str, path: str, names: dict[str, Any]) -> None:
        super().__init__(fullname, path)
        self._names = names

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._names
        super().exec_module(module)


class ScriptFinder:
    """Finds the same modules as Python's path finder. Files of scripts get the loader above."""

    def __init__(self, is_script: Callable[[str], bool], names: dict[str, Any]) -> None:
        self._is_script = is_script
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Implement Python's import protocol."""
        if not any(self._is_script(entry) for entry in (sys.path if path is None else path)):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        if not self._is_script(spec.origin):
            return None
        spec.loader = ScriptLoader(fullname, spec.origin, self._names)
        return spec
