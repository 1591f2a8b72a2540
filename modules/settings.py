"""What the user set on the page, kept in YAML beside their data: session defaults, and loader settings per model."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from modules.paths import write_atomically
from modules.protocol.errors import PaddockError


class YamlStore:
    """A mapping in one YAML file. Thread-safe; each change is written whole or not at all.

    A file that is no YAML mapping is an error at start, never overwritten: somebody wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values = _read(path)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        with self._lock:
            return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value; None forgets the key. Nothing is written when nothing changes."""
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Keep several values at once; None forgets a key."""
        with self._lock:
            fresh = {key: value for key, value in {**self._values, **values}.items() if value is not None}
            if fresh == self._values:
                return
            write_atomically(self._path, yaml.safe_dump(fresh, allow_unicode=True, sort_keys=True))
            self._values = fresh

    def items(self) -> dict[str, Any]:
        """A copy of all."""
        with self._lock:
            return dict(self._values)


class ModelSettings:
    """Loader settings per model: {model name or pattern: {"loader": name, "settings": {...}}}. Exact names win, then
    patterns (`*-GPTQ*`) in the order of the file."""

    def __init__(self, path: Path) -> None:
        self._store = YamlStore(path)

    def get(self, model: str) -> tuple[str, dict[str, Any]]:
        """(loader, settings) kept for this model; ("", {}) if none are."""
        entries = self._store.items()
        entry = entries.get(model)
        if entry is None:
            found = (value for pattern, value in entries.items() if fnmatch.fnmatch(model, pattern))
            entry = next(found, None) or {}
        return str(entry.get("loader", "")), dict(entry.get("settings", {}))

    def set(self, model: str, loader: str, settings: Mapping[str, Any]) -> None:
        """Keep what this model was loaded with."""
        self._store.set(model, {"loader": loader, "settings": dict(settings)})


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise PaddockError(
            f"{path.name} in the user data folder cannot be read. Mend it, or move it away to begin with the defaults.",
            detail=str(error),
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise PaddockError(
            f"{path.name} in the user data folder is not a list of `key: value` lines. Mend it or move it away."
        )
    return values
