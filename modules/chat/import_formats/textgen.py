"""Reads histories of text-generation-webui: pairs of texts, and facts about them in `metadata`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from modules.chat.import_formats.values import (
    data_of,
    mappings,
    object_of,
    text_of,
    tool_call,
    tool_result,
)
from modules.chat.imported_tree import ImportedChat, ImportedTree
from modules.chat.layouts import stored_parts
from modules.chat.parts import TEXT, Part
from modules.protocol.errors import PaddockError

# It writes this as the user's first line if the character spoke first.
GREETING_MARK = "<|BEGIN-VISIBLE-CHAT|>"
_ROLES = ("user", "assistant")
# The names of lists of pairs, newest first: those that the model read, and those that the page showed.
_READ = ("internal", "data")
_PAIRS = (*_READ, "visible", "data_visible")


def pairs_of(data: object) -> Sequence[object] | None:
    """Return the pairs of a history, or None for any other value.

    What the model read is taken. A history that lacks it has what the page showed, which is HTML.
    """
    known = [data.get(name) for name in _PAIRS] if isinstance(data, Mapping) else []
    written = [[_plain_text(pair) for pair in pairs] for pairs in known[len(_READ) :] if isinstance(pairs, list)]
    lists = [*(pairs for pairs in known[: len(_READ)] if isinstance(pairs, list)), *written]
    return next((pairs for pairs in lists if pairs), lists[0] if lists else None)


def _plain_text(pair: object) -> object:
    """Return a pair of texts without the HTML entities that the page needs."""
    return [html.unescape(text) if isinstance(text, str) else text for text in pair] if isinstance(pair, list) else pair


def read_textgen(data: Mapping[str, object], now: float) -> ImportedChat:
    """Return the chat of a history. Raises PaddockError for a line that is no pair."""
    tree = ImportedTree(now)
    facts = object_of(data.get("metadata"))
    parent: str | None = None
    for number, pair in enumerate(pairs_of(data) or ()):
        if not isinstance(pair, list) or len(pair) != 2 or any(isinstance(text, (list, dict)) for text in pair):
            raise PaddockError(
                f"This file cannot be read as a chat: line {number + 1} of its history is not a pair of texts. Choose "
                "a history of text-generation-webui."
            )
        for role, value in zip(_ROLES, pair, strict=True):
            text = text_of(value)
            if text == GREETING_MARK:
                continue
            about = object_of(facts.get(f"{role}_{number}"))
            versions, shown = _versions(text, about)
            below = parent
            for version, (one, fact) in enumerate(versions):
                id = f"{number}.{role}.{version}"
                parts = [*_files(tree, about), *_steps(id, fact.get("tool_sequence")), *_text(role, one)]
                if tree.add(id, below, role, parts, fact.get("timestamp")) and version == shown:
                    parent = id
    tree.show(parent)
    return tree.finish()


def _versions(text: str, about: Mapping[str, object]) -> tuple[list[tuple[str, Mapping[str, object]]], int]:
    """Return (text, its facts) of each version of a message, and which one is shown."""
    found = [(text_of(one.get("content")), one) for one in mappings(about.get("versions"))]
    number = about.get("current_version_index", len(found) - 1)
    if not found or not isinstance(number, int) or not 0 <= number < len(found):
        return [*found, (text, about)], len(found)
    if found[number][0] != text:
        # The text is what it shows, whatever the versions have.
        return [*found, (text, about)], len(found)
    return found, number


def _text(role: str, text: str) -> Sequence[Part]:
    return stored_parts(role, text) if text.strip() else ()


def _steps(id: str, sequence: object) -> list[Part]:
    """Return the calls of tools before a reply, with their results and what the model wrote between them."""
    found: list[Part] = []
    calls: dict[str, Part] = {}
    for place, one in enumerate(mappings(sequence)):
        if one.get("role") == "tool":
            if call := calls.pop(text_of(one.get("tool_call_id")), None):
                found.append(tool_result(call, text_of(one.get("content"))))
            continue
        found += _text("assistant", text_of(one.get("content")))
        for number, item in enumerate(mappings(one.get("tool_calls"))):
            function = object_of(item.get("function"))
            name = text_of(item.get("id")) or f"{id}-{place}-{number}"
            calls[name] = tool_call(name, text_of(function.get("name")), function.get("arguments"))
            found.append(calls[name])
    return [*found, *(tool_result(call, "") for call in calls.values())]


def _files(tree: ImportedTree, about: Mapping[str, object]) -> list[Part]:
    found: list[Part] = []
    for one in mappings(about.get("attachments")):
        name, address = text_of(one.get("name")) or "file", text_of(one.get("image_data"))
        if data := data_of(address):
            found.append(tree.file(data, name, address.partition(";")[0].removeprefix("data:")))
        elif text := text_of(one.get("content")):
            found.append(tree.file(text.encode("utf-8", "replace"), name))
        else:
            found.append(Part(TEXT, f"[{name}]\n\n"))
    return found
