"""A few values by name that an extension's code in the host and its code in the worker both see."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

MOST_CHARACTERS = 256_000


class SharedValues(MutableMapping[str, object]):
    """Values that can be written as JSON; of two writers the later one counts. A value that was changed in place is not
    seen on the other side: assign it again.

    `origin`: which side this is. `changed`: called with each name and value that is written here; None: it was deleted.
    """

    def __init__(self, origin: str, changed: Callable[[str, object], None] = lambda name, value: None) -> None:
        self._origin = origin
        self._changed = changed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        # Name -> (number of the change, who wrote it, the value).
        self._entries: dict[str, tuple[int, str, object]] = {}

    def __getitem__(self, name: str) -> object:
        value = self._entries[name][2]
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: object) -> None:
        """Raises TypeError for a value that JSON cannot hold, ValueError where all would be too large."""
        held = sum(len(json.dumps(entry[2])) for known, entry in list(self._entries.items()) if known != name)
        if held + len(json.dumps(value)) > MOST_CHARACTERS:
            raise ValueError(f"the shared values of an extension take at most {MOST_CHARACTERS:,} characters as JSON")
        self.receive(str(name), value, self._origin)
        self._changed(str(name), value)

    def __delitem__(self, name: str) -> None:
        self[name]
        self[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, entry in list(self._entries.items()) if entry[2] is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def receive(self, name: str, value: object, origin: str) -> None:
        """A value was written by `origin`."""
        with self._lock:
            self._entries[name] = (next(self._numbers), origin, value)

    def export(self) -> dict[str, object]:
        """All of it, for `merge` on the other side."""
        with self._lock:
            return {name: list(entry) for name, entry in self._entries.items()}

    def merge(self, exported: Mapping[str, Any], seen: MutableMapping[str, int]) -> None:
        """Take what the other side wrote. `seen`: the numbers of its changes that were taken before."""
        for name, (number, origin, value) in exported.items():
            if origin != self._origin and number > seen.get(name, 0):
                seen[name] = number
                self.receive(name, value, origin)
