"""Export chats to JSON with their whole tree, and import them, also from text-generation-webui's histories."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modules.chat.import_formats.textgen import pairs_of, read_textgen
from modules.chat.import_formats.values import moment
from modules.chat.imported_tree import ImportedChat
from modules.chat.layouts import stored_parts
from modules.chat.message_meta import known_meta
from modules.chat.parts import from_json, to_json
from modules.chat.setting_types import LONGEST_SETTING, MOST_TAGS, SETTING_TYPES
from modules.protocol.errors import PaddockError

FORMAT = "paddock-chat"
# 1: a message had one text. 2: it has parts, and perhaps files beside the messages.
VERSION = 2
PROGRAMS = "Paddock, text-generation-webui, SillyTavern, ChatGPT, Open WebUI, KoboldCpp or LM Studio"
_ROLES = ("system", "user", "assistant")


def write_chat(
    title: str,
    character: str,
    messages: Sequence[Mapping[str, object]],
    files: Mapping[str, Mapping[str, str]],
    place: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return a chat as a value for JSON. `messages`: as ChatStore.tree returns them; `files`: as of embed_files.

    `place`: its settings, folder (a name), tags, pinned, archived and created, where it has them.
    """
    head = {"format": FORMAT, "version": VERSION, "title": title, "character": character, **(place or {})}
    return {**head, "messages": list(messages), **({"attachments": dict(files)} if files else {})}


def read_chat(data: object, now: float) -> ImportedChat:
    """Return a chat from a value of `write_chat` or from a history of text-generation-webui. Raises PaddockError.

    `now`: seconds since the epoch, for messages without a time.
    """
    if isinstance(data, Mapping) and data.get("format") == FORMAT:
        return _read_own(data, now)
    if isinstance(data, Mapping) and pairs_of(data) is not None:
        return read_textgen(data, now)
    raise _unreadable("it has the keys of no program that Paddock knows")


def _read_own(data: Mapping[str, object], now: float) -> ImportedChat:
    if data.get("version") not in (1, VERSION):
        raise PaddockError("This chat was written by a newer Paddock. Update Paddock, then import it again.")
    entries = data.get("messages")
    if not isinstance(entries, list):
        raise _unreadable("its messages are missing")
    messages: dict[str, dict[str, object]] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or entry.get("role") not in _ROLES:
            raise _unreadable(f"message {number} has no role")
        name, parent = entry.get("id"), entry.get("parent")
        if not isinstance(name, str) or name in messages:
            raise _unreadable(f"message {number} has no id of its own")
        messages[name] = {
            "id": name,
            "parent": parent if isinstance(parent, str) else None,
            "role": entry["role"],
            "parts": _entry_parts(entry, number),
            "created": now if (created := moment(entry.get("created"))) is None else created,
            "meta": known_meta(entry.get("meta")),
            "deleted": bool(entry.get("deleted")),
            "active": bool(entry.get("active")),
        }
    files = data.get("attachments")
    files = files if isinstance(files, Mapping) else {}
    tags, folder = data.get("tags"), data.get("folder")
    return ImportedChat(
        str(data.get("title") or ""),
        str(data.get("character") or ""),
        _parents_first(messages),
        files,
        settings=known_settings(data.get("settings")),
        folder=folder if isinstance(folder, str) and folder.strip() else "",
        tags=tuple(tag for tag in tags if isinstance(tag, str))[:MOST_TAGS] if isinstance(tags, list) else (),
        pinned=data.get("pinned") is True,
        archived=data.get("archived") is True,
        created=moment(data.get("created")) or 0.0,
    )


def _parents_first(messages: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with parents before children. One whose parent is missing, or is below it, becomes a first
    message."""
    placed: dict[str, dict[str, Any]] = {}
    for name in messages:
        line: dict[str, None] = {}
        above: str | None = name
        while above is not None and above in messages and above not in placed and above not in line:
            line[above] = None
            above = messages[above]["parent"]
        for one in reversed(list(line)):
            parent = messages[one]["parent"]
            placed[one] = {**messages[one], "parent": parent if parent in placed else None}
    return list(placed.values())


def known_settings(settings: object) -> dict[str, object]:
    """Return the settings of a chat from a file, without those whose value has the wrong type or is too large."""
    if not isinstance(settings, Mapping):
        return {}
    return {
        str(name): value
        for name, value in settings.items()
        if isinstance(value, SETTING_TYPES.get(str(name), (str, int, float, bool, list, dict)))
        and len(json.dumps(value)) <= LONGEST_SETTING
    }


def _entry_parts(entry: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    if "parts" not in entry and isinstance(entry.get("text"), str):
        return to_json(stored_parts(entry["role"], entry["text"]))
    try:
        return to_json(from_json(entry.get("parts")))
    except ValueError as error:
        raise _unreadable(f"message {number} is broken: {error}") from None


def _unreadable(why: str) -> PaddockError:
    return PaddockError(f"This file cannot be read as a chat: {why}. Choose a chat that {PROGRAMS} exported.")
