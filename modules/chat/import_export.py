"""Export chats to JSON with their whole tree, and import them, also from text-generation-webui's histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.chat.imported_tree import ImportedChat
from modules.chat.layouts import stored_parts
from modules.chat.parts import from_json, to_json
from modules.protocol.errors import PaddockError

FORMAT = "paddock-chat"
# 1: a message had one text. 2: it has parts, and perhaps files beside the messages.
VERSION = 2
_ROLES = ("system", "user", "assistant")
# text-generation-webui writes this as the user's first line if the character spoke first.
_GREETING_MARK = "<|BEGIN-VISIBLE-CHAT|>"


def write_chat(
    title: str, character: str, messages: Sequence[Mapping[str, object]], files: Mapping[str, Mapping[str, str]]
) -> dict[str, object]:
    """Return a chat as a value for JSON. `messages`: as ChatStore.tree returns them; `files`: as of embed_files."""
    head = {"format": FORMAT, "version": VERSION, "title": title, "character": character}
    return {**head, "messages": list(messages), **({"attachments": dict(files)} if files else {})}


def read_chat(data: object, now: float) -> ImportedChat:
    """Return a chat from a value of `write_chat` or from a history of text-generation-webui. Raises PaddockError.

    `now`: seconds since the epoch, for messages without a time.
    """
    if isinstance(data, Mapping) and data.get("format") == FORMAT:
        return _read_own(data, now)
    pairs = (data.get("internal") or data.get("data")) if isinstance(data, Mapping) else None
    if isinstance(pairs, list):
        return ImportedChat("", "", _read_pairs(pairs, now))
    raise _unreadable("it has neither Paddock's nor text-generation-webui's keys")


def _read_own(data: Mapping[str, object], now: float) -> ImportedChat:
    if data.get("version") not in (1, VERSION):
        raise PaddockError("This chat was written by a newer Paddock. Update Paddock, then import it again.")
    entries = data.get("messages")
    if not isinstance(entries, list):
        raise _unreadable("its messages are missing")
    messages: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or entry.get("role") not in _ROLES:
            raise _unreadable(f"message {number} has no role")
        name, parent = entry.get("id"), entry.get("parent")
        rooted = parent is None or (isinstance(parent, str) and parent in seen)
        if not isinstance(name, str) or name in seen or not rooted:
            raise _unreadable(f"message {number} has no place in the tree")
        seen.add(name)
        created, meta = entry.get("created"), entry.get("meta")
        messages.append(
            {
                "id": name,
                "parent": parent,
                "role": entry["role"],
                "parts": _entry_parts(entry, number),
                "created": float(created) if isinstance(created, (int, float)) else now,
                "meta": dict(meta) if isinstance(meta, Mapping) else {},
                "deleted": bool(entry.get("deleted")),
                "active": bool(entry.get("active")),
            }
        )
    files = data.get("attachments")
    files = files if isinstance(files, Mapping) else {}
    return ImportedChat(str(data.get("title") or ""), str(data.get("character") or ""), messages, files)


def _entry_parts(entry: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    if "parts" not in entry and isinstance(entry.get("text"), str):
        return to_json(stored_parts(entry["role"], entry["text"]))
    try:
        return to_json(from_json(entry.get("parts")))
    except ValueError as error:
        raise _unreadable(f"message {number} is broken: {error}") from None


def _read_pairs(pairs: Sequence[object], now: float) -> list[dict[str, object]]:
    """Return [[user, assistant], …] as a tree without branches, without empty halves."""
    messages: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise _unreadable(f"line {number} of its history is not a pair of texts")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            if text and text != _GREETING_MARK:
                place = len(messages)
                messages.append(
                    {
                        "id": str(place),
                        "parent": str(place - 1) if place else None,
                        "role": role,
                        "parts": to_json(stored_parts(role, text)),
                        "created": now,
                        "meta": {},
                        "deleted": False,
                        "active": True,
                    }
                )
    return messages


def _unreadable(why: str) -> PaddockError:
    return PaddockError(
        f"This file cannot be read as a chat: {why}. Choose a JSON file that Paddock exported, or a history of "
        "text-generation-webui."
    )
