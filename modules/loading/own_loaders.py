"""Loaders in the user's own folder: their code runs after the user agreed to it, and as it was then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modules.plugins.code_files import code_files, fingerprint, importable
from modules.protocol.errors import PaddockError
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import YamlStore
from modules.system.code_allowlist import CodeAllowlist

# Names the worker's loader and its agreed files, as modules/worker/__main__.py reads it.
VARIABLE = "PADDOCK_OWN_LOADER"


class OwnLoaders:
    """The loaders below `folder`. `store` keeps the consents: name -> fingerprint of the files that may run."""

    def __init__(self, folder: Path, store: YamlStore, registry: Registry, code: CodeAllowlist) -> None:
        self._folder = folder
        self._store = store
        self._registry = registry
        self._code = code
        self._files: dict[str, dict[str, str]] = {}
        for name in self.names():
            if self._agreed(name):
                self._add(name)

    def names(self) -> list[str]:
        """Every folder with a spec.py, sorted."""
        return sorted(path.parent.name for path in self._folder.glob("*/spec.py"))

    def waiting(self) -> dict[str, str]:
        """Name -> sentence of each loader whose code, as it is now, has not been agreed to."""
        return {
            name: f"The code of the loader {name} has not run here before. Look at its files, then allow it."
            for name in self.names()
            if not self._agreed(name) and name not in self._files
        }

    def enable(self, name: str) -> None:
        """Agree to run the code of a loader as it is now, and read it. Raises PaddockError."""
        if name not in self.names():
            there = ", ".join(self.names()) or "none"
            raise PaddockError(f"There is no loader {name!r} in {self._folder}. There: {there}.")
        self._store.set("consent", {**self._consents(), name: fingerprint(self._files_of(name))})
        if name not in self._files:
            self._add(name)
        if fault := self._registry.faults.get(name):
            raise PaddockError(f"{fault}. Correct it, then enable it again.")

    def variables(self, name: str) -> dict[str, str]:
        """The environment variable that tells a worker where this loader lies, and which files it may import."""
        if name not in self._files:
            return {}
        return {VARIABLE: json.dumps({"folder": str(self._folder / name), "files": self._files[name]})}

    def _add(self, name: str) -> None:
        files = importable(self._files_of(name))
        self._code.allow(self._folder / name, files)
        self._files[name] = files
        self._registry.add(self._folder / name)

    def _agreed(self, name: str) -> bool:
        try:
            return self._consents().get(name) == fingerprint(self._files_of(name))
        except PaddockError:
            return False

    def _files_of(self, name: str) -> dict[str, str]:
        try:
            return code_files(self._folder / name)
        except (ValueError, OSError) as error:
            raise PaddockError(f"The loader {name} cannot be used: {error}") from None

    def _consents(self) -> dict[str, Any]:
        return dict(self._store.get("consent") or {})
