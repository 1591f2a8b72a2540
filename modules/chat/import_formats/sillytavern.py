"""Reads SillyTavern's chats: a line of JSON about the chat, then one for each message. Swipes become versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from modules.chat.import_formats.values import (
    data_of,
    mappings,
    moment,
    named_files,
    object_of,
    reasoning,
    text_of,
    tool_call,
    tool_result,
)
from modules.chat.imported_tree import ImportedChat, ImportedTree
from modules.chat.layouts import stored_parts
from modules.chat.parts import TEXT, Part
from modules.chat.roleplay.scene import NARRATOR
from modules.chat.roleplay.speakers import SPEAKER
from modules.chat.setting_types import LONGEST_SETTING

_HEAD = frozenset({"chat_metadata", "user_name", "character_name"})
# What new versions write for a name that is known from elsewhere.
_UNUSED = "unused"
# Who writes the messages of the program itself.
_PROGRAM = "SillyTavern System"
# No thought takes longer, in milliseconds. Larger numbers cannot be divided.
_LONGEST_MS = 1e14
# Whose message the author's note is, by its number.
_NOTE_ROLES = ("system", "user", "assistant")


def is_sillytavern(lines: Sequence[object]) -> bool:
    """Return True if the lines of a JSONL file are a chat of SillyTavern. That of a group may lack the first line."""
    first = lines[0] if lines else None
    return isinstance(first, Mapping) and (bool(_HEAD & set(first)) or {"mes", "is_user"} <= set(first))


def read_sillytavern(lines: Sequence[object], now: float) -> ImportedChat:
    """Return the chat of a JSONL file."""
    head = lines[0]
    tree = ImportedTree(now)
    messages = [line for line in lines if isinstance(line, Mapping) and "mes" in line]
    replied = (line for line in messages if not line.get("is_system") and _role(line) == "assistant")
    speakers = list(dict.fromkeys(text_of(line.get("name")) for line in replied))
    parent: str | None = None
    for number, line in enumerate(messages):
        versions, shown = _versions(line)
        role = _role(line)
        meta: dict[str, object] = {}
        if role == "system":
            meta = {NARRATOR: True}
        elif role == "assistant" and len(speakers) > 1 and (name := text_of(line.get("name"))):
            meta = {SPEAKER: name}
        below = parent
        for version, (text, info) in enumerate(versions):
            id = f"{number}.{version}"
            parts = _parts(tree, id, role, text, object_of(info.get("extra")))
            if tree.add(id, below, role, parts, info.get("send_date"), meta) and version == shown:
                parent = id
    tree.show(parent)
    character = text_of(head.get("character_name")) if isinstance(head, Mapping) else ""
    if character in ("", _UNUSED):
        character = speakers[0] if len(speakers) == 1 else ""
    created = moment(object_of(head).get("create_date")) or 0.0
    return replace(tree.finish("", character, _settings(head)), created=created)


def _settings(head: object) -> dict[str, object]:
    """Return the author's note of a chat, as settings."""
    facts = object_of(object_of(head).get("chat_metadata"))
    text, depth, role = text_of(facts.get("note_prompt")).strip(), facts.get("note_depth"), facts.get("note_role")
    if not text or len(text) > LONGEST_SETTING // 2:
        return {}
    known = role if isinstance(role, int) and 0 <= role < len(_NOTE_ROLES) else 0
    return {"note": {"prompt": text, "depth": depth if isinstance(depth, int) else 4, "role": _NOTE_ROLES[known]}}


def _versions(line: Mapping[str, object]) -> tuple[list[tuple[str, Mapping[str, object]]], int]:
    """Return (text, {send_date, extra}) of each version of a message, and which one is shown."""
    swipes, chosen, infos = line.get("swipes"), line.get("swipe_id"), line.get("swipe_info")
    if not isinstance(swipes, list):
        return [(text_of(line.get("mes")), line)], 0
    infos = infos if isinstance(infos, list) else []
    # A swipe without facts has the time of its message.
    time = {"send_date": line.get("send_date")}
    facts = [{**time, **object_of(one)} for _, one in zip_longest(swipes, infos[: len(swipes)])]
    found: list[tuple[str, Mapping[str, object]]] = list(zip(map(text_of, swipes), facts, strict=True))
    if not isinstance(chosen, int) or not 0 <= chosen < len(found):
        # A swipe that was begun and not written. The message is what it shows.
        texts = [text for text, _ in found]
        text = text_of(line.get("mes"))
        chosen = texts.index(text) if text in texts else len(found)
        found += [("", line)] if chosen == len(found) else []
    # An edit changes the message, and not always its swipe.
    found[chosen] = (text_of(line.get("mes")) or found[chosen][0], line)
    return found, chosen


def _role(line: Mapping[str, object]) -> str:
    kind = object_of(line.get("extra")).get("type")
    if line.get("is_user"):
        return "user"
    # Messages that the person hides from the model are marked so too, but have no kind of their own.
    own = line.get("is_system") and (kind or text_of(line.get("name")) in ("", _PROGRAM))
    called = object_of(line.get("extra")).get("tool_invocations")
    return "system" if kind == "narrator" or (own and not called) else "assistant"


def _parts(tree: ImportedTree, id: str, role: str, text: str, extra: Mapping[str, object]) -> list[Part]:
    """Return the parts of a version: its reasoning, calls of tools, files and text."""
    found: list[Part] = []
    if thoughts := text_of(extra.get("reasoning")).strip():
        took = extra.get("reasoning_duration")
        seconds = took / 1000 if isinstance(took, (int, float)) and 0 < took < _LONGEST_MS else None
        found.append(reasoning(thoughts, seconds))
    calls = mappings(extra.get("tool_invocations"))
    for place, one in enumerate(calls):
        name = text_of(one.get("name") or one.get("displayName"))
        call = tool_call(text_of(one.get("id")) or f"{id}-{place}", name, one.get("parameters"))
        found += [call, tool_result(call, text_of(one.get("result")))]
    found += _files(tree, extra)
    if calls:
        # The text repeats the calls.
        return found
    return [*found, *(stored_parts(role, text) if not thoughts else [Part(TEXT, text)])]


def _files(tree: ImportedTree, extra: Mapping[str, object]) -> list[Part]:
    """Return the pictures and documents of a message: with their content where the chat has it, else as names."""
    swipes = extra.get("image_swipes")
    shown = [extra.get("image"), *(swipes if isinstance(swipes, list) else []), extra.get("video")]
    addresses = [url for url in dict.fromkeys(map(text_of, shown)) if url]
    pictures = [{"url": url, "title": extra.get("title") if url == extra.get("image") else ""} for url in addresses]
    documents = [*mappings(extra.get("files")), *mappings([extra.get("file")])]
    lost: list[str] = []
    found: list[Part] = []
    for one in [*pictures, *mappings(extra.get("media")), *documents]:
        address = text_of(one.get("url"))
        name = text_of(one.get("name") or one.get("title")) or address.rpartition("/")[2]
        if data := data_of(address):
            mime = address.partition(";")[0].removeprefix("data:")
            found.append(tree.file(data, text_of(one.get("name") or one.get("title")) or "image", mime))
        elif text := text_of(one.get("text")):
            found.append(tree.file(text.encode("utf-8", "replace"), name or "document"))
        else:
            lost.append(name[:200] or "file")
    return [*found, *([Part(TEXT, named_files(lost) + "\n\n")] if lost else [])]
