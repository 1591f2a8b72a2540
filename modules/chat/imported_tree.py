"""Builds the message tree of an imported chat, whatever order and gaps its file has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.chat.attachments.image_facts import IMAGE_ENDINGS
from modules.chat.import_formats.values import moment
from modules.chat.layouts import stored_parts
from modules.chat.parts import AUDIO, DOCUMENT, IMAGE, Part, to_json
from modules.families.audio_file import is_audio

_ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True)
class ImportedChat:
    """A chat from a file. `messages` have the shape of ChatStore.tree, parents before children.

    `files`: those that the file contains, as of embed_files, or with their bytes as "data". `settings`: of the chat;
    `folder`: the name of its folder, or ""; `created`: seconds since the epoch, 0 where that is not known.
    """

    title: str
    character: str
    messages: list[dict[str, Any]]
    files: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    created: float = 0.0


class ImportedTree:
    """Collects messages by id. `now`: seconds since the epoch, for messages without a time.

    A message without content is left out, and its children move up to its parent. A message whose parent is missing, or
    is below itself, becomes a first message, so nothing is lost.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._parents: dict[str, str | None] = {}
        self._messages: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, object]] = {}
        self._shown: str | None = None

    def add(
        self,
        id: str,
        parent: object,
        role: str,
        content: str | Sequence[Part],
        created: object = None,
        meta: Mapping[str, object] | None = None,
    ) -> bool:
        """Add a message. Return False if it was left out for lack of content. `created`: see values.moment."""
        if id in self._parents:
            return False
        self._parents[id] = str(parent) if isinstance(parent, (str, int)) else None
        parts = stored_parts(role, content) if isinstance(content, str) else content
        if role not in _ROLES or not any(part.text.strip() for part in parts):
            return False
        known = moment(created)
        self._messages[id] = {
            "role": role,
            "parts": to_json(parts),
            "created": self._now if known is None else known,
            "meta": dict(meta or {}),
        }
        return True

    def file(self, data: bytes, name: str, mime: str = "") -> Part:
        """Keep the content of a file, and return the part of a message that names it. `mime`: of an image."""
        digest = hashlib.sha256(data).hexdigest()
        self._files[digest] = {"name": name, "data": data}
        kind = IMAGE if mime in IMAGE_ENDINGS else AUDIO if is_audio(data) else DOCUMENT
        return Part(kind, name, {"hash": digest, "size": len(data), **({"mime": mime} if mime else {})})

    def show(self, id: object) -> None:
        """Show the path that ends with this message."""
        self._shown = str(id) if isinstance(id, (str, int)) else None

    def finish(
        self, title: object = "", character: str = "", settings: Mapping[str, object] | None = None
    ) -> ImportedChat:
        """Return the chat. `title`: ignored if it is no text."""
        shown = self._above(self._shown)
        found: list[dict[str, Any]] = []
        # Each message that was reached -> the nearest one with content, itself or above it.
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
                    found.append(
                        {
                            "id": name,
                            "parent": parent,
                            **self._messages[name],
                            "deleted": False,
                            "active": name in shown,
                        }
                    )
                    parent = name
                nearest[name] = parent
        name = " ".join(title.split())[:200] if isinstance(title, str) else ""
        return ImportedChat(name, character, found, self._files, settings=settings or {})

    def _above(self, id: str | None) -> set[str]:
        """Return this message and those above it."""
        found: set[str] = set()
        while id is not None and id in self._parents and id not in found:
            found.add(id)
            id = self._parents[id]
        return found
