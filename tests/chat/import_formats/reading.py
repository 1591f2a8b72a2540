"""Read a chat of another program and describe what came out of it."""

from __future__ import annotations

import json
from typing import Any

from modules.chat.chat_reader import read_chat_file
from modules.chat.imported_tree import ImportedChat

NOW = 1000.0


def read_one(data: object) -> ImportedChat:
    """Return the one chat of a file with these bytes or this JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (chat,), others = read_chat_file(raw, NOW)
    assert others == 0
    return chat


def shown(chat: ImportedChat) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (role, [(kind, text)]) of the shown messages, root to leaf."""
    return [(entry["role"], kinds(entry)) for entry in chat.messages if entry["active"]]


def kinds(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (kind, text) of each part of a message."""
    return [(part["kind"], part["text"]) for part in entry["parts"]]


def all_texts(chat: ImportedChat) -> str:
    """Return the text of all parts of all messages."""
    return "\n".join(part["text"] for entry in chat.messages for part in entry["parts"])
