"""Read lorebooks of other programs, as books of character cards V3, and write them for SillyTavern.

Read are SillyTavern's world info, KoboldCpp's saved stories, the `character_book` of cards, `lorebook_v3`, and the
lorebooks of NovelAI, Agnai and Risu. What an entry has besides is kept in its `extensions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.chat.character_file import CARD_LIMITS, parse_character
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import is_png
from modules.chat.roleplay.lore_values import texts
from modules.files.data_files import DataFileError, parse_json
from modules.protocol.errors import PaddockError

SPEC = "lorebook_v3"
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


def read_lorebook(raw: bytes, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a lorebook in the form of cards V3, and sentences about what was left out. Raise CardError."""
    try:
        if is_png(raw):
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
    if isinstance(value, Mapping):
        data = value.get("data")
        if value.get("spec") == SPEC and isinstance(data, Mapping):
            return _checked(dict(data), name), ()
        if isinstance(data, Mapping) and "character_book" in data:
            return _of_card(value, name), ()
        if isinstance(value.get("worldinfo"), list):
            return _of_kobold(value), _kobold_notes(value)
        if value.get("type") == "risu" and isinstance(data, list):
            return _book([_of_risu(one) for one in data if isinstance(one, Mapping)]), ()
        if "lorebookVersion" in value and isinstance(value.get("entries"), list):
            return _book([_of_novelai(one) for one in value["entries"] if isinstance(one, Mapping)]), ()
        if value.get("kind") == "memory" and isinstance(value.get("entries"), list):
            return _book(
                [_of_agnai(one) for one in value["entries"] if isinstance(one, Mapping)], value.get("name")
            ), ()
        entries = value.get("entries")
        listed = list(entries.values()) if isinstance(entries, Mapping) else entries
        if isinstance(listed, list):
            return _of_entries(value, [one for one in listed if isinstance(one, Mapping)], name), ()
        if isinstance(value.get("character_book"), Mapping):
            return _checked(dict(value["character_book"]), name), ()
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "content" in one for one in value):
        # KoboldCpp saves its world info alone as such a list.
        return _of_kobold({"worldinfo": value}), ()
    raise CardError(
        f"{name} has no lorebook that Paddock knows. Choose a world info of SillyTavern, a saved story of KoboldCpp, "
        "or the lorebook of a character card, as JSON."
    )


def as_sillytavern(book: Mapping[str, Any]) -> dict[str, Any]:
    """Return a lorebook as a world info of SillyTavern."""
    listed = book.get("entries")
    items: Sequence[Any] = listed if isinstance(listed, list) else []
    entries = {str(place): _to_sillytavern(one, place) for place, one in enumerate(items) if isinstance(one, Mapping)}
    rest = {key: item for key, item in book.items() if key not in ("entries", "extensions")}
    return {**rest, "entries": entries, "extensions": book.get("extensions") or {}}


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


def _book(entries: list[dict[str, Any]], name: object = "") -> dict[str, Any]:
    return {**({"name": name} if isinstance(name, str) and name else {}), "extensions": {}, "entries": entries}


def _of_entries(value: Mapping[str, Any], entries: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return a book from entries in SillyTavern's form, or in that of cards."""
    rest = {key: item for key, item in value.items() if key != "entries"}
    rest.setdefault("extensions", {})
    if any("keys" in one for one in entries):
        return {**rest, "entries": [dict(one) for one in entries]}
    if entries and not any("key" in one or "content" in one for one in entries):
        raise CardError(f"The entries in {name} have neither keys nor texts. Choose another file.")
    return {"recursive_scanning": True, **rest, "entries": [_of_sillytavern(one) for one in entries]}


def _of_sillytavern(one: Mapping[str, Any]) -> dict[str, Any]:
    extensions = {new: one[old] for old, new in _EXTENSIONS.items() if old in one}
    extensions |= {key: item for key, item in one.items() if key not in _EXTENSIONS and key not in _OWN}
    return {
        "id": one.get("uid", 0),
        "keys": list(texts(one.get("key"))),
        "secondary_keys": list(texts(one.get("keysecondary"))),
        "comment": str(one.get("comment") or ""),
        "content": str(one.get("content") or ""),
        "constant": one.get("constant") is True,
        "selective": one.get("selective") is not False,
        "insertion_order": _number(one.get("order"), 100),
        "enabled": one.get("disable") is not True,
        "position": _BEFORE if extensions.get("position", 0) == 0 else _AFTER,
        # Its keys are patterns only between slashes, which needs no mark here.
        "use_regex": False,
        "extensions": extensions,
    }


def _to_sillytavern(one: Mapping[str, Any], place: int) -> dict[str, Any]:
    more = one.get("extensions")
    more = dict(more) if isinstance(more, Mapping) else {}
    position = {"position": 0 if one.get("position", _BEFORE) == _BEFORE else 1} if "position" not in more else {}
    back = {old: more.pop(new) for old, new in _EXTENSIONS.items() if new in more}
    return {
        **more,
        "uid": one.get("id", place),
        "key": list(texts(one.get("keys"))),
        "keysecondary": list(texts(one.get("secondary_keys"))),
        "comment": one.get("comment") or one.get("name") or "",
        "content": one.get("content", ""),
        "constant": one.get("constant") is True,
        "selective": one.get("selective") is not False,
        "order": one.get("insertion_order", 100),
        "disable": one.get("enabled") is False,
        **position,
        **back,
    }


def _of_kobold(value: Mapping[str, Any]) -> dict[str, Any]:
    items = [one for one in value["worldinfo"] if isinstance(one, Mapping)]
    settings = value.get("savedsettings")
    depth = settings.get("wi_searchdepth") if isinstance(settings, Mapping) else None
    # KoboldCpp's depth counts letters; 0 is the whole story.
    book = _book([_kobold_entry(one, place) for place, one in enumerate(items)])
    return {**book, "scan_depth": 1000 if depth == 0 else 10}


def _kobold_entry(one: Mapping[str, Any], place: int) -> dict[str, Any]:
    anti = texts(one.get("keyanti"))
    content = str(one.get("content") or "")
    known = {
        "key",
        "keysecondary",
        "keyanti",
        "content",
        "comment",
        "selective",
        "constant",
        "probability",
        "widisabled",
    }
    return {
        "id": place,
        "keys": list(texts(one.get("key"))),
        "secondary_keys": list(texts(one.get("keysecondary"))),
        "comment": str(one.get("comment") or ""),
        "content": f"@@exclude_keys {','.join(anti)}\n{content}" if anti else content,
        "constant": one.get("constant") is True,
        "selective": one.get("selective") is True,
        "insertion_order": 100,
        "enabled": one.get("widisabled") is not True,
        "position": _BEFORE,
        "use_regex": False,
        "extensions": {
            "probability": _number(one.get("probability"), 100),
            **{key: item for key, item in one.items() if key not in known},
        },
    }


def _kobold_notes(value: Mapping[str, Any]) -> tuple[str, ...]:
    other = [name for key, name in (("memory", "memory"), ("authorsnote", "author's note")) if value.get(key)]
    if not other:
        return ()
    return (f"Only its world info was imported, not its {' and '.join(other)}.",)


def _of_novelai(one: Mapping[str, Any]) -> dict[str, Any]:
    settings = one.get("contextConfig")
    settings = settings if isinstance(settings, Mapping) else {}
    return _entry(
        one,
        ("text", "keys", "displayName", "enabled", "forceActivation"),
        keys=list(texts(one.get("keys"))),
        comment=str(one.get("displayName") or ""),
        content=str(one.get("text") or ""),
        constant=one.get("forceActivation") is True,
        enabled=one.get("enabled") is not False,
        insertion_order=_number(settings.get("budgetPriority"), 100),
    )


def _of_agnai(one: Mapping[str, Any]) -> dict[str, Any]:
    return _entry(
        one,
        ("name", "keywords", "entry", "enabled", "weight", "priority"),
        keys=list(texts(one.get("keywords"))),
        comment=str(one.get("name") or ""),
        content=str(one.get("entry") or ""),
        enabled=one.get("enabled") is not False,
        insertion_order=_number(one.get("weight"), 0),
        priority=_number(one.get("priority"), 0),
    )


def _of_risu(one: Mapping[str, Any]) -> dict[str, Any]:
    return _entry(
        one,
        ("key", "secondkey", "comment", "content", "alwaysActive", "selective", "insertorder", "useRegex"),
        keys=list(texts(one.get("key"))),
        secondary_keys=list(texts(one.get("secondkey"))),
        comment=str(one.get("comment") or ""),
        content=str(one.get("content") or ""),
        constant=one.get("alwaysActive") is True,
        selective=one.get("selective") is True,
        insertion_order=_number(one.get("insertorder"), 100),
        use_regex=one.get("useRegex") is True,
    )


def _entry(one: Mapping[str, Any], known: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    rest = {key: item for key, item in one.items() if key not in known}
    base = {"enabled": True, "insertion_order": 100, "use_regex": False, "extensions": rest}
    return {**base, **fields}


def _number(value: object, default: float) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return int(value) if float(value).is_integer() else value
