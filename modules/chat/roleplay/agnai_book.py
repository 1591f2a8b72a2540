"""Lorebooks of Agnai, alone or in its characters, as books of character cards."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modules.chat.roleplay.lore_values import exact, texts

# Fields of a book and of an entry that only have another name there.
_BOOK = {"scanDepth": "scan_depth", "tokenBudget": "token_budget", "recursiveScanning": "recursive_scanning"}
_ENTRY = {"id": "id", "comment": "comment", "constant": "constant", "selective": "selective", "position": "position"}
_KNOWN = {*_ENTRY, "name", "keywords", "entry", "enabled", "weight", "priority", "secondaryKeys", "excludeRecursion"}


def is_agnai_book(value: object) -> bool:
    """Return True for a book whose entries have Agnai's form."""
    entries = value.get("entries") if isinstance(value, Mapping) else None
    if not isinstance(entries, list):
        return False
    return isinstance(value, Mapping) and (
        value.get("kind") == "memory"
        or any(isinstance(one, Mapping) and "keywords" in one and "keys" not in one for one in entries)
    )


def agnai_book(value: Mapping[str, object]) -> dict[str, object]:
    """Return the book in the form of cards V3. Entries that are no objects stay as they are."""
    more = value.get("extensions")
    found = {new: value[old] for old, new in _BOOK.items() if value.get(old) is not None}
    texts_of_book = {key: value[key] for key in ("name", "description") if isinstance(value.get(key), str)}
    listed = value.get("entries")
    items: list[object] = listed if isinstance(listed, list) else []
    entries = [_entry(one) if isinstance(one, Mapping) else one for one in items]
    return {**texts_of_book, **found, "extensions": dict(more) if isinstance(more, Mapping) else {}, "entries": entries}


def _entry(one: Mapping[str, object]) -> dict[str, object]:
    rest = {key: item for key, item in one.items() if key not in _KNOWN}
    exclude = {"exclude_recursion": True} if one.get("excludeRecursion") is True else {}
    return {
        **{new: one[old] for old, new in _ENTRY.items() if one.get(old) is not None},
        "keys": [_key(key) for key in texts(one.get("keywords"))],
        "secondary_keys": list(texts(one.get("secondaryKeys"))),
        "name": str(one.get("name") or ""),
        "content": str(one.get("entry") or ""),
        "enabled": one.get("enabled") is not False,
        "insertion_order": exact(one.get("weight"), 0),
        "priority": exact(one.get("priority"), 0),
        "use_regex": False,
        "extensions": {**rest, **exclude},
    }


def _key(key: str) -> str:
    """Return a key; one with * and ? for letters as a pattern."""
    if not re.search(r"[*?]", key) or key.startswith("/"):
        return key
    letters = {"*": r"\w*", "?": r"\w"}
    inside = "".join(letters.get(letter) or re.escape(letter).replace("/", r"\/") for letter in key.strip())
    return rf"/(?<!\w){inside}(?!\w)/i"
