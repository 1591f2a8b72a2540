"""The user's settings while Paddock runs: saved at each change, or when the user saves them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from modules.settings.user_settings import YamlStore

_AUTOSAVE = "autosave"


class Preferences:
    """The current values: unsaved changes over the values of the file. Thread-safe.

    With autosave (the default) each change is written to the file. Without it, changes last until Paddock ends, unless
    `save` is called.
    """

    def __init__(self, store: YamlStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._unsaved: dict[str, object] = {}

    @property
    def autosave(self) -> bool:
        """True if each change is written to the file."""
        return bool(self._store.get(_AUTOSAVE, True))

    @property
    def unsaved(self) -> bool:
        """True if there are changes that are not in the file."""
        with self._lock:
            return bool(self._unsaved)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the current value, or `default`."""
        with self._lock:
            value = self._unsaved[key] if key in self._unsaved else self._store.get(key)
        return default if value is None else value

    def items(self) -> dict[str, Any]:
        """Return a copy of all current values."""
        with self._lock:
            return {key: value for key, value in {**self._store.items(), **self._unsaved}.items() if value is not None}

    def set(self, key: str, value: object) -> None:
        """Set a value; None removes the key."""
        self.update({key: value})

    def update(self, values: Mapping[str, object]) -> None:
        """Set several values in one step; None removes a key."""
        with self._lock:
            if self.autosave:
                self._store.update(values)
            else:
                saved = self._store.items()
                self._unsaved.update(values)
                self._unsaved = {key: value for key, value in self._unsaved.items() if value != saved.get(key)}

    def save(self) -> None:
        """Write unsaved changes to the file."""
        with self._lock:
            self._store.update(self._unsaved)
            self._unsaved = {}

    def discard(self) -> None:
        """Drop unsaved changes."""
        with self._lock:
            self._unsaved = {}

    def set_autosave(self, on: bool) -> None:
        """Switch autosave on or off. Switching it on saves all unsaved changes."""
        with self._lock:
            if on:
                self.save()
            self._store.set(_AUTOSAVE, None if on else False)
