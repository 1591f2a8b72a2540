"""Builds the message tree of an imported chat, whatever order and gaps its file has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.chat.layouts import stored_parts
from modules.chat.parts import to_json

_ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True)
class ImportedChat:
    """A chat from a file. `messages` have the shape of ChatStore.tree, parents before children.

    `files`: those that the file contains, as of embed_files.
    """

    title: str
    character: str
    messages: list[dict[str, Any]]
    files: Mapping[str, Any] = field(default_factory=dict)


class ImportedTree:
    """Collects messages by id. `now`: seconds since the epoch, for messages without a time.

    A message without text is left out, and its children move up to its parent. A message whose parent is missing, or
    is below itself, becomes a first message, so nothing is lost.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._parents: dict[str, str | None] = {}
        self._messages: dict[str, dict[str, Any]] = {}
        self._shown: str | None = None

    def add(self, id: str, parent: object, role: str, text: object, created: object = None) -> bool:
        """Add a message. Return False if it was left out for lack of a text."""
        if id in self._parents:
            return False
        self._parents[id] = parent if isinstance(parent, str) else None
        if role not in _ROLES or not isinstance(text, str) or not text.strip():
            return False
        moment = self._now
        if isinstance(created, (int, float)) and math.isfinite(created):
            moment = float(created)
        self._messages[id] = {"role": role, "parts": to_json(stored_parts(role, text)), "created": moment}
        return True

    def show(self, id: object) -> None:
        """Show the path that ends with this message."""
        self._shown = id if isinstance(id, str) else None

    def finish(self, title: object = "", character: str = "") -> ImportedChat:
        """Return the chat. `title`: ignored if it is no text."""
        shown = self._above(self._shown)
        found: list[dict[str, Any]] = []
        # Each message that was reached -> the nearest one with a text, itself or above it.
        nearest: dict[str, str | None] = {}
        for id in self._messages:
            line: list[str] = []
            above: str | None = id
            while above is not None and above in self._parents and above not in nearest:
                nearest[above] = None
                line.append(above)
                above = self._parents[above]
            parent = nearest.get(above) if above is not None else None
            for name in reversed(line):
                if name in self._messages:
                    values = {"meta": {}, "deleted": False, "active": name in shown}
                    found.append({"id": name, "parent": parent, **self._messages[name], **values})
                    parent = name
                nearest[name] = parent
        return ImportedChat(title.strip()[:200] if isinstance(title, str) else "", character, found)

    def _above(self, id: str | None) -> set[str]:
        """Return this message and those above it."""
        found: set[str] = set()
        while id is not None and id in self._parents and id not in found:
            found.add(id)
            id = self._parents[id]
        return found
