"""The user's settings while Paddock runs: saved as they change, or held until the user says so."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from modules.settings.user_settings import YamlStore

_AUTOSAVE = "autosave"


class Preferences:
    """What is set now, over what the file holds. Thread-safe.

    With autosave (the default) the file follows each change; without it, changes live until Paddock ends or `save`.
    """

    def __init__(self, store: YamlStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._held: dict[str, Any] = {}

    @property
    def autosave(self) -> bool:
        """Whether the file follows each change."""
        return bool(self._store.get(_AUTOSAVE, True))

    @property
    def unsaved(self) -> bool:
        """Whether something is set that the file does not hold."""
        with self._lock:
            return bool(self._held)

    def get(self, key: str, default: Any = None) -> Any:
        """The value now, or `default`."""
        with self._lock:
            value = self._held[key] if key in self._held else self._store.get(key)
        return default if value is None else value

    def items(self) -> dict[str, Any]:
        """A copy of all that is set now."""
        with self._lock:
            return {key: value for key, value in {**self._store.items(), **self._held}.items() if value is not None}

    def set(self, key: str, value: Any) -> None:
        """Set a value; None forgets the key."""
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several values at once; None forgets a key."""
        with self._lock:
            if self.autosave:
                self._store.update(values)
            else:
                saved = self._store.items()
                self._held.update(values)
                self._held = {key: value for key, value in self._held.items() if value != saved.get(key)}

    def save(self) -> None:
        """Write what is held: it is what the next start begins with."""
        with self._lock:
            self._store.update(self._held)
            self._held = {}

    def discard(self) -> None:
        """Back to what the file holds."""
        with self._lock:
            self._held = {}

    def set_autosave(self, on: bool) -> None:
        """Switch autosave; switched on, it saves what is held."""
        with self._lock:
            if on:
                self.save()
            self._store.set(_AUTOSAVE, None if on else False)
