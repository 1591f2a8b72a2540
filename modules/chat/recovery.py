"""Recover chats from a damaged file: copy what can still be read into a new one."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

from modules.chat.layouts import stored_parts
from modules.chat.parts import rows_of

_LOST = "Recovered chat"

_Row = dict[str, Any]


def recover_chats(damaged: Path, fresh: sqlite3.Connection) -> tuple[int, int]:
    """Copy readable chats and messages from `damaged`, which is only read, into `fresh`, which is empty.

    A message whose parent is lost becomes a first message of its chat; messages whose chat is lost get a new chat.
    Return the numbers of chats and messages that were copied. Raises sqlite3.Error only for `fresh`.
    """
    found = _read(damaged)
    chats, messages, parts = found.chats, found.messages, found.parts
    fresh.execute("BEGIN IMMEDIATE")
    try:
        names = {row["id"] for row in chats}
        for chat_id in dict.fromkeys(row["chat"] for row in messages if row["chat"] not in names):
            first = next(row for row in messages if row["chat"] == chat_id)
            moment = first["created"]
            chats.append({"id": chat_id, "title": _LOST, "character": "", "created": moment, "updated": moment})
        folders = {row["id"] for row in found.folders if _insert(fresh, "folders", _with_json(row, "settings"))}
        saved_chats = [row for row in chats if _insert(fresh, "chats", _chat_values(row, folders))]
        for row in found.tags:
            _insert(fresh, "tags", row)
        place: dict[str, str] = {}
        for row in messages:
            parent = row["parent"] if place.get(row["parent"]) == row["chat"] else None
            values = {**row, "parent": parent, "active": None, "living": 0, "meta": _json(row["meta"])}
            # Of the first layout, which had no parts.
            text = values.pop("text", None)
            if _insert(fresh, "messages", values):
                place[row["id"]] = row["chat"]
                own = parts.get(row["id"], []) if text is None else _parts(row["id"], row["role"], text)
                for part in own:
                    _insert(fresh, "parts", {**part, "meta": _json(part["meta"])})
        _restore_shown(fresh, [*saved_chats, *messages])
        fresh.execute("COMMIT")
    except BaseException:
        if fresh.in_transaction:
            fresh.execute("ROLLBACK")
        raise
    return len(saved_chats), len(place)


@dataclass(frozen=True)
class _Found:
    """The readable rows, oldest first. `parts`: by message."""

    chats: list[_Row] = field(default_factory=list)
    messages: list[_Row] = field(default_factory=list)
    parts: dict[str, list[_Row]] = field(default_factory=dict)
    folders: list[_Row] = field(default_factory=list)
    tags: list[_Row] = field(default_factory=list)


def _read(damaged: Path) -> _Found:
    try:
        source = sqlite3.connect(f"file:{pathname2url(str(damaged))}?mode=ro", uri=True)
    except sqlite3.Error:
        return _Found()
    source.row_factory = sqlite3.Row
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(source, "parts"):
            parts.setdefault(row["message"], []).append(row)
        tables = ("chats", "messages", "folders", "tags")
        return _Found(parts=parts, **{table: _rows(source, table) for table in tables})
    finally:
        source.close()


def _chat_values(row: _Row, folders: set[str]) -> _Row:
    """Return the row of a chat without what is restored later, or what it names and is lost."""
    if "folder" in row and row["folder"] not in folders:
        row = {**row, "folder": None}
    return {**_with_json(row, "settings"), "active": None}


def _with_json(row: _Row, column: str) -> _Row:
    """Return the row with an empty object in a column whose JSON is damaged. Early layouts lack the column."""
    return {**row, column: _json(row[column])} if column in row else row


def _parts(message_id: str, role: str, text: str) -> list[dict[str, Any]]:
    """Return the rows for the parts of a message of the first layout."""
    names = ("place", "kind", "text", "meta")
    return [{"message": message_id, **dict(zip(names, row, strict=True))} for row in rows_of(stored_parts(role, text))]


def _rows(source: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """Return the rows from both ends up to the damage: in either direction, reading stops at the first bad page."""
    found: dict[int, dict[str, Any]] = {}
    for order in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error, OverflowError):
            for row in source.execute(f"SELECT * FROM {table} ORDER BY seq {order}"):
                if row["seq"] in found:
                    break
                found[row["seq"]] = dict(row)
    rows = [found[seq] for seq in sorted(found)]
    return [{name: value for name, value in row.items() if name != "seq"} for row in rows]


def _insert(fresh: sqlite3.Connection, table: str, values: dict[str, object]) -> bool:
    """Insert the row. Return False if a constraint forbids it, which means that it is damaged."""
    marks = ", ".join("?" * len(values))
    try:
        fresh.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
    except (sqlite3.IntegrityError, sqlite3.InterfaceError):
        return False
    return True


def _restore_shown(fresh: sqlite3.Connection, rows: Sequence[dict[str, object]]) -> None:
    """Show the children that were shown; if they are lost, the newest that is left."""
    newest = "(SELECT s.id FROM messages s WHERE {} AND NOT s.deleted ORDER BY s.seq DESC LIMIT 1)"
    below = newest.format("s.chat = messages.chat AND s.parent = messages.id")
    first = newest.format("s.chat = chats.id AND s.parent IS NULL")
    fresh.execute(f"UPDATE messages SET active = {below}")
    fresh.execute(f"UPDATE chats SET active = {first}")
    for row in rows:
        table, child = (
            ("messages", "s.parent = messages.id")
            if "role" in row
            else ("chats", "s.chat = chats.id AND s.parent IS NULL")
        )
        fresh.execute(
            f"UPDATE {table} SET active = ? WHERE id = ? AND EXISTS "
            f"(SELECT 1 FROM messages s WHERE s.id = ? AND NOT s.deleted AND {child})",
            (row.get("active"), row["id"], row.get("active")),
        )


def _json(text: Any) -> str:
    try:
        return json.dumps(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return "{}"
