"""Reads files of chats, whichever program wrote them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

from modules.chat.chat_archive import ChatArchive, is_archive
from modules.chat.import_export import PROGRAMS, read_chat
from modules.chat.import_formats.chatgpt import FindPicture, is_chatgpt, read_chatgpt
from modules.chat.import_formats.kobold import is_kobold, read_kobold
from modules.chat.import_formats.lm_studio import is_lm_studio, read_lm_studio
from modules.chat.import_formats.open_webui import add_list, is_openwebui, read_openwebui
from modules.chat.import_formats.sillytavern import is_sillytavern, read_sillytavern
from modules.chat.imported_tree import ImportedChat, ImportedTree
from modules.protocol.errors import PaddockError

# Chats of one file. No real export has more, and each one that cannot be read takes its time too.
_MOST_CHATS = 100_000
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNREADABLE = f"This file is neither JSON nor a chat of SillyTavern. Choose a chat that {PROGRAMS} exported."


def read_chat_file(raw: bytes, now: float) -> tuple[list[ImportedChat], int]:
    """Return the chats of a file, and how many others in it have no messages or cannot be read.

    `now`: seconds since the epoch, for messages without a time. Raises PaddockError if no chat can be read.
    """
    archive = ChatArchive(raw) if is_archive(raw) else None
    find: FindPicture = archive.picture if archive else lambda name: None
    found: list[ImportedChat] = []
    others = 0
    problem: PaddockError | None = None
    for content in archive.chats() if archive else [lambda: raw]:
        try:
            entries = _entries(content())
        except PaddockError as error:
            problem, others = problem or error, others + 1
            continue
        for entry in entries:
            try:
                chat = _read_one(entry, now, find)
            except PaddockError as error:
                problem, others = problem or error, others + 1
            else:
                found += [chat] if chat.messages else []
                others += not chat.messages
    if not found:
        raise problem or PaddockError("This file has no messages. Choose the file of a chat that has some.")
    return found, others


def _entries(raw: bytes) -> list[object]:
    """Return the chats of a file, each as its program wrote it; that of SillyTavern as a tuple of its lines."""
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise PaddockError(_UNREADABLE) from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        lines = tuple(_lines(text))
        if not is_sillytavern(lines):
            raise PaddockError(_UNREADABLE) from None
        return [lines]
    if isinstance(data, list) and not all(isinstance(entry, Mapping) and "role" in entry for entry in data):
        if is_sillytavern(data[:1]) and all(isinstance(line, Mapping) and "mes" in line for line in data[1:]):
            return [tuple(data)]
        if len(data) > _MOST_CHATS:
            raise PaddockError(f"This file has more than {_MOST_CHATS:,} chats. Export fewer chats at a time.")
        return data
    return [data]


def _lines(text: str) -> Iterator[object]:
    """Yield the values of the lines. One that was cut off, for example by a full disk, is left out."""
    # Not splitlines(): texts may contain what Unicode takes for the end of a line.
    for line in text.split("\n"):
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def _read_one(data: object, now: float, find: FindPicture) -> ImportedChat:
    if isinstance(data, tuple):
        return read_sillytavern(data, now)
    if isinstance(data, list):
        return _from_messages(data, now)
    if isinstance(data, Mapping):
        if is_chatgpt(data):
            return read_chatgpt(data, now, find)
        if is_openwebui(data):
            return read_openwebui(data, now)
        if is_kobold(data):
            return read_kobold(data, now)
        if is_lm_studio(data):
            return read_lm_studio(data, now)
        if is_sillytavern([data]):
            # A chat with one line only.
            return read_sillytavern([data], now)
        if "format" not in data and isinstance(messages := data.get("messages"), list):
            return _from_messages(messages, now)
    return read_chat(data, now)


def _from_messages(messages: list[object], now: float) -> ImportedChat:
    tree = ImportedTree(now)
    add_list(tree, messages)
    return tree.finish()
