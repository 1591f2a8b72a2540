"""Read lorebooks of other programs, as books of character cards V3, and write them for SillyTavern.

Read are SillyTavern's world info, KoboldCpp's saved stories, the `character_book` of cards, `lorebook_v3`, and the
lorebooks of NovelAI, Agnai and Risu. What an entry has besides is kept in its `extensions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modules.chat.character_file import CARD_LIMITS, parse_character
from modules.chat.roleplay.agnai_book import agnai_book, is_agnai_book
from modules.chat.roleplay.card_archive import is_archive
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import is_png, read_png_text
from modules.chat.roleplay.lore_entry import by_sillytavern, read_book
from modules.chat.roleplay.lore_values import exact, texts
from modules.chat.roleplay.lorebook_formats import kobold_book, novelai_book, risu_book
from modules.files.data_files import DataFileError, parse_json
from modules.protocol.errors import PaddockError

SPEC = "lorebook_v3"
# The chunk of a PNG file in which NovelAI embeds a lorebook.
_NOVELAI = "naidata"
_BEFORE, _AFTER = "before_char", "after_char"
# SillyTavern's names of an entry's fields -> their names in `extensions` of an entry in a card.
_EXTENSIONS = {
    "position": "position",
    "excludeRecursion": "exclude_recursion",
    "displayIndex": "display_index",
    "probability": "probability",
    "useProbability": "useProbability",
    "depth": "depth",
    "selectiveLogic": "selectiveLogic",
    "outletName": "outlet_name",
    "group": "group",
    "groupOverride": "group_override",
    "groupWeight": "group_weight",
    "preventRecursion": "prevent_recursion",
    "delayUntilRecursion": "delay_until_recursion",
    "scanDepth": "scan_depth",
    "matchWholeWords": "match_whole_words",
    "useGroupScoring": "use_group_scoring",
    "caseSensitive": "case_sensitive",
    "automationId": "automation_id",
    "role": "role",
    "vectorized": "vectorized",
    "sticky": "sticky",
    "cooldown": "cooldown",
    "delay": "delay",
    "matchPersonaDescription": "match_persona_description",
    "matchCharacterDescription": "match_character_description",
    "matchCharacterPersonality": "match_character_personality",
    "matchCharacterDepthPrompt": "match_character_depth_prompt",
    "matchScenario": "match_scenario",
    "matchCreatorNotes": "match_creator_notes",
    "triggers": "triggers",
    "ignoreBudget": "ignore_budget",
    "characterFilter": "character_filter",
    "addMemo": "add_memo",
}
_OWN = ("uid", "key", "keysecondary", "comment", "content", "constant", "selective", "order", "disable")
# Fields of an entry in a card that SillyTavern's entries have under another name, or not at all.
_IN_BOTH = frozenset(
    ("keys", "secondary_keys", "comment", "content", "constant", "selective", "insertion_order", "enabled")
    + ("position", "case_sensitive", "extensions")
)
# Where an entry for SillyTavern keeps the others.
_KEPT = "paddock"


def read_lorebook(raw: bytes, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a lorebook in the form of cards V3, and sentences about what was left out. Raise CardError."""
    try:
        if is_png(raw) and (lore := read_png_text(raw, _NOVELAI, name)) is not None:
            return read_lorebook_value(parse_json(lore, name, limits=CARD_LIMITS), name)
        if is_png(raw) or is_archive(raw):
            return _of_card(parse_character(raw, name).value, name), ()
        value = parse_json(raw, name, limits=CARD_LIMITS)
    except DataFileError as error:
        raise CardError(error.message) from error
    except CardError:
        raise
    except PaddockError as error:
        raise CardError(error.message) from error
    return read_lorebook_value(value, name)


def read_lorebook_value(value: object, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a lorebook from the value of a JSON file, like `read_lorebook`."""
    found = _book_in(value, name)
    if found is not None:
        book, notes = found
        lost = sum(not isinstance(one, Mapping) for one in book["entries"])
        if lost:
            notes = (*notes, f"{lost} of its entries are no objects and were left out.")
        return {**book, "entries": [one for one in book["entries"] if isinstance(one, Mapping)]}, notes
    raise CardError(
        f"{name} has no lorebook that Paddock knows. Choose a world info of SillyTavern, a saved story of KoboldCpp, "
        "or the lorebook of a character card, as JSON."
    )


def _book_in(value: object, name: str) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """Return the lorebook in a value, in the form of cards V3, and sentences; None for a value without one."""
    if isinstance(value, list):
        # KoboldCpp saves its world info alone as such a list.
        whole = value and all(isinstance(one, Mapping) and "content" in one for one in value)
        return kobold_book({"worldinfo": value}) if whole else None
    if not isinstance(value, Mapping):
        return None
    data, entries = value.get("data"), value.get("entries")
    if value.get("spec") == SPEC and isinstance(data, Mapping):
        return _checked(dict(data), name), ()
    if isinstance(data, Mapping) and "character_book" in data:
        return _of_card(value, name), ()
    if isinstance(value.get("worldinfo"), list):
        return kobold_book(value)
    if value.get("type") == "risu" and isinstance(data, list):
        return risu_book(data)
    inside = value.get("lorebook")
    if isinstance(inside, Mapping) and "lorebookVersion" in inside and isinstance(inside.get("entries"), list):
        # A scenario or story of NovelAI.
        return novelai_book(inside, value.get("title"))
    if "lorebookVersion" in value and isinstance(entries, list):
        return novelai_book(value)
    if is_agnai_book(value):
        return agnai_book(value), ()
    listed = list(entries.values()) if isinstance(entries, Mapping) else entries
    if isinstance(listed, list):
        return _of_entries(value, listed, name), ()
    for book in (value.get("character_book"), value.get("characterBook")):
        if isinstance(book, Mapping):
            return (agnai_book(book) if is_agnai_book(book) else _checked(dict(book), name)), ()
    return None


def as_sillytavern(book: Mapping[str, Any]) -> dict[str, Any]:
    """Return a lorebook as a world info of SillyTavern."""
    listed = book.get("entries")
    items: list[Any] = listed if isinstance(listed, list) else []
    entries: dict[str, dict[str, Any]] = {}
    taken = {_uid(one) for one in items} - {None}
    free = (number for number in range(2 * len(items)) if number not in taken)
    for one in items:
        if not isinstance(one, Mapping):
            continue
        # It finds an entry by its number.
        uid = _uid(one)
        if uid is None or str(uid) in entries:
            uid = next(free)
        entries[str(uid)] = _to_sillytavern(one, uid)
    rest = {key: item for key, item in book.items() if key not in ("entries", "extensions")}
    recursive = read_book(book, "").recursive
    return {"recursive_scanning": recursive, **rest, "entries": entries, "extensions": book.get("extensions") or {}}


def _uid(one: object) -> int | None:
    """Return the number that an entry has as its id, or None."""
    id = one.get("id") if isinstance(one, Mapping) else None
    return id if isinstance(id, int) and not isinstance(id, bool) and id >= 0 else None


def _of_card(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    data = value.get("data")
    for place in (data, value):
        book = place.get("character_book") if isinstance(place, Mapping) else None
        if isinstance(book, Mapping):
            return _checked(dict(book), name)
    raise CardError(f"The card {name} has no lorebook. Choose another one.")


def _checked(book: dict[str, Any], name: str) -> dict[str, Any]:
    entries = book.get("entries")
    if isinstance(entries, Mapping):
        book["entries"] = list(entries.values())
    elif not isinstance(entries, list):
        raise CardError(f"The lorebook in {name} has no list of entries. Choose another file.")
    book.setdefault("extensions", {})
    return book


def _of_entries(value: Mapping[str, Any], listed: list[Any], name: str) -> dict[str, Any]:
    """Return a book from entries in SillyTavern's form, or in that of cards. What is no entry stays as it is."""
    entries = [one for one in listed if isinstance(one, Mapping)]
    rest = {key: item for key, item in value.items() if key != "entries"}
    rest.setdefault("extensions", {})
    if any("keys" in one for one in entries):
        return {**rest, "entries": listed}
    if listed and not any("key" in one or "content" in one for one in entries):
        raise CardError(f"The entries in {name} have neither keys nor texts. Choose another file.")
    return {
        "recursive_scanning": True,
        **rest,
        "entries": [_of_sillytavern(one) if isinstance(one, Mapping) else one for one in listed],
    }


def _of_sillytavern(one: Mapping[str, Any]) -> dict[str, Any]:
    extensions = {new: one[old] for old, new in _EXTENSIONS.items() if old in one}
    known = {*_EXTENSIONS, *_OWN, _KEPT}
    extensions |= {key: item for key, item in one.items() if key not in known}
    kept, cases = one.get(_KEPT), one.get("caseSensitive")
    return {
        "id": one.get("uid", 0),
        "keys": list(texts(one.get("key"))),
        "secondary_keys": list(texts(one.get("keysecondary"))),
        "comment": str(one.get("comment") or ""),
        "content": str(one.get("content") or ""),
        "constant": one.get("constant") is True,
        "selective": one.get("selective") is True,
        "insertion_order": exact(one.get("order"), 100),
        "enabled": one.get("disable") is not True,
        "position": _BEFORE if extensions.get("position", 0) == 0 else _AFTER,
        # Its keys are patterns only between slashes, which needs no mark here.
        "use_regex": False,
        **({"case_sensitive": cases} if isinstance(cases, bool) else {}),
        **(kept if isinstance(kept, Mapping) else {}),
        "extensions": extensions,
    }


def _to_sillytavern(one: Mapping[str, Any], uid: int) -> dict[str, Any]:
    more = one.get("extensions")
    more = dict(more) if isinstance(more, Mapping) else {}
    # Which of its keys are patterns is seen by their slashes there, and its secondary keys count for patterns too.
    patterns = one.get("use_regex") is True and not by_sillytavern(one)
    position = {"position": 0 if one.get("position", _BEFORE) == _BEFORE else 1} if "position" not in more else {}
    kept = {key: item for key, item in one.items() if key not in _IN_BOTH}
    if kept.get("id") == uid:
        del kept["id"]
    if not patterns:
        kept.pop("use_regex", None)
    back = {old: more.pop(new) for old, new in _EXTENSIONS.items() if new in more}
    if "probability" in back:
        # A chance counts there only with this mark.
        back.setdefault("useProbability", True)
    cases, logic = one.get("case_sensitive"), one.get("selectiveLogic")
    return {
        **more,
        **({"selectiveLogic": logic} if logic is not None else {}),
        "uid": uid,
        "key": [_pattern(key, cases is True) if patterns else key for key in texts(one.get("keys"))],
        "keysecondary": list(texts(one.get("secondary_keys"))),
        "comment": one.get("comment") or one.get("name") or "",
        "content": one.get("content", ""),
        "constant": one.get("constant") is True and not patterns,
        "selective": one.get("selective") is True and not patterns,
        "order": one.get("insertion_order", 100),
        "disable": one.get("enabled") is False,
        **position,
        **back,
        **({"caseSensitive": cases} if isinstance(cases, bool) else {}),
        **({_KEPT: kept} if kept else {}),
    }


def _pattern(key: str, case: bool) -> str:
    """Return a pattern with slashes around it, as SillyTavern needs it."""
    if key.startswith("/") and key.rfind("/") > 0:
        return key
    escaped = re.sub(r"\\.|/", lambda found: "\\/" if found[0] == "/" else found[0], key)
    return f"/{escaped}/{'' if case else 'i'}"
