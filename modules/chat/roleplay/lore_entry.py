"""Lorebooks and their entries, read from the form of character cards V2 and V3.

SillyTavern stores what that form lacks in `extensions` of an entry, under the names that are read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modules.chat.roleplay.card_fields import ROLES, whole
from modules.chat.roleplay.decorators import Decorators, split_decorators
from modules.chat.roleplay.lore_values import number, texts

# Where an entry goes, by SillyTavern's numbers. Those around examples go after the character, as examples end it.
BEFORE, AFTER, NOTE_TOP, NOTE_BOTTOM, AT_DEPTH, OUTLET = "before", "after", "note_top", "note_bottom", "depth", "outlet"
POSITIONS = (BEFORE, AFTER, NOTE_TOP, NOTE_BOTTOM, AT_DEPTH, AFTER, AFTER, OUTLET)
# How secondary keys count, by SillyTavern's numbers.
AND_ANY, NOT_ALL, NOT_ANY, AND_ALL = range(4)
_DEPTH = 4
_ORDER = 100
# What SillyTavern writes into every entry of a card.
_SILLYTAVERN = frozenset({"exclude_recursion", "prevent_recursion", "display_index", "selectiveLogic"})
# Names of `extensions` that let an entry match texts of the card too -> names of these texts.
MATCHED_TEXTS = {
    "match_persona_description": "persona",
    "match_character_description": "description",
    "match_character_personality": "personality",
    "match_character_depth_prompt": "depth_prompt",
    "match_scenario": "scenario",
    "match_creator_notes": "creator_notes",
}


@dataclass(frozen=True)
class LoreEntry:
    """An entry of a lorebook. `id`: unique in its book; `content`: without decorators.

    `triggers`: the kinds of replies that may use it, by SillyTavern's names; all without.
    """

    id: str
    label: str
    keys: tuple[str, ...]
    content: str
    secondary: tuple[str, ...] = ()
    logic: int = AND_ANY
    enabled: bool = True
    constant: bool = False
    use_regex: bool = False
    case_sensitive: bool = False
    whole_words: bool = True
    order: float = _ORDER
    priority: float = _ORDER
    position: str = BEFORE
    depth: int = _DEPTH
    role: str = "system"
    outlet: str = ""
    scan_depth: int | None = None
    probability: float = 100
    exclude_recursion: bool = False
    prevent_recursion: bool = False
    recursion_level: int = 0
    groups: tuple[str, ...] = ()
    group_override: bool = False
    group_weight: float = 100
    group_scoring: bool = False
    sticky: int = 0
    cooldown: int = 0
    delay: int = 0
    ignore_budget: bool = False
    only_for: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    matched_texts: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    decorators: Decorators = Decorators()


@dataclass(frozen=True)
class Lorebook:
    """A lorebook. `scan_depth`: messages that are searched for keys, None for the default; `budget`: tokens."""

    name: str
    entries: tuple[LoreEntry, ...] = ()
    scan_depth: int | None = None
    budget: int | None = None
    recursive: bool = False
    problems: tuple[str, ...] = field(default=())


def read_book(value: Mapping[str, Any], name: str) -> Lorebook:
    """Return a lorebook of a card, whose `entries` are a list or a table. Entries that are none are left out."""
    listed = value.get("entries")
    listed = list(listed.values()) if isinstance(listed, Mapping) else listed
    items: list[Any] = listed if isinstance(listed, list) else []
    entries = _with_own_ids(read_entry(item, place) for place, item in enumerate(items) if isinstance(item, Mapping))
    recursive = value.get("recursive_scanning")
    from_sillytavern = any(by_sillytavern(item) for item in items if isinstance(item, Mapping))
    title = value.get("name")
    lost = len(items) - len(entries)
    return Lorebook(
        name or (title if isinstance(title, str) else "") or "Lorebook",
        tuple(entries),
        _number_or_none(value.get("scan_depth")),
        _number_or_none(value.get("token_budget")),
        # SillyTavern has no such field in a book; it recurses as it is shipped.
        recursive if isinstance(recursive, bool) else from_sillytavern,
        (f"{lost} entries of the lorebook {name} are no objects and were left out.",) if lost else (),
    )


def _with_own_ids(entries: Iterable[LoreEntry]) -> list[LoreEntry]:
    """Return the entries, each with an id that no other has: only one entry of an id is used."""
    found: dict[str, LoreEntry] = {}
    for place, entry in enumerate(entries):
        id = entry.id if entry.id not in found else f"{entry.id}/{place}"
        found[id] = replace(entry, id=id)
    return list(found.values())


def read_entry(value: Mapping[str, Any], place: int) -> LoreEntry:
    """Return an entry in the form of cards V2 and V3. Values of the wrong type are as if they were missing."""
    more = value.get("extensions")
    more = more if isinstance(more, Mapping) else {}
    decorators, content = split_decorators(_text(value.get("content")))
    keys, constant = texts(value.get("keys")), value.get("constant") is True
    # SillyTavern sets use_regex in every entry, but only keys such as /a|b/i are patterns there.
    use_regex = value.get("use_regex") is True and not by_sillytavern(value)
    groups = tuple(part.strip() for part in _text(more.get("group")).split(",") if part.strip())
    order = number(value.get("insertion_order"), _ORDER)
    position, depth = _position(value, more), whole(more.get("depth"), _DEPTH)
    if decorators.depth is not None and decorators.position is None:
        position, depth = AT_DEPTH, decorators.depth
    elif decorators.position is not None:
        position = BEFORE if decorators.position == "before_desc" else AFTER
    only, other = _character_filter(more.get("character_filter"))
    names = (value.get("comment"), value.get("name"), ", ".join(keys))
    return LoreEntry(
        id=str(place if value.get("id") is None else value["id"]),
        label=next((_text(name).strip()[:80] for name in names if _text(name).strip()), f"Entry {place + 1}"),
        keys=keys,
        content=content,
        # The specification asks for secondary keys only where this is true.
        secondary=texts(value.get("secondary_keys")) if value.get("selective") is True else (),
        logic=whole(more.get("selectiveLogic", value.get("selectiveLogic")), AND_ANY, AND_ALL),
        enabled=value.get("enabled") is not False,
        constant=constant,
        use_regex=use_regex,
        case_sensitive=_either(value.get("case_sensitive"), more.get("case_sensitive"), False),
        whole_words=_either(more.get("match_whole_words"), None, True),
        order=order,
        priority=number(value.get("priority"), order),
        position=position,
        depth=depth,
        role=decorators.role or _role(more.get("role")),
        outlet=_text(more.get("outlet_name")).strip(),
        scan_depth=decorators.scan_depth
        if decorators.scan_depth is not None
        else _number_or_none(more.get("scan_depth")),
        probability=number(more.get("probability"), 100) if more.get("useProbability") is not False else 100,
        exclude_recursion=more.get("exclude_recursion") is True,
        prevent_recursion=more.get("prevent_recursion") is True,
        recursion_level=_level(more.get("delay_until_recursion")),
        groups=groups,
        group_override=more.get("group_override") is True,
        group_weight=max(0.0, number(more.get("group_weight"), 100)),
        group_scoring=more.get("use_group_scoring") is True,
        sticky=whole(more.get("sticky"), 0),
        cooldown=whole(more.get("cooldown"), 0),
        delay=whole(more.get("delay"), 0),
        ignore_budget=more.get("ignore_budget") is True,
        only_for=only,
        not_for=other,
        matched_texts=tuple(text for name, text in MATCHED_TEXTS.items() if more.get(name) is True),
        triggers=texts(more.get("triggers")),
        decorators=decorators,
    )


def _position(value: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    place = more.get("position")
    if isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(POSITIONS):
        return POSITIONS[place]
    return AFTER if "after_char" in (value.get("position"), place) else BEFORE


def _role(value: object) -> str:
    """Return the role of SillyTavern's number for it, or of its name."""
    if isinstance(value, int) and 0 <= value < len(ROLES):
        return ROLES[value]
    return value if isinstance(value, str) and value in ROLES else "system"


def _level(value: object) -> int:
    """Return the round of recursion before which an entry is not used."""
    return int(value) if isinstance(value, bool) else whole(value, 0)


def _character_filter(value: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of characters that an entry is only for, and not for."""
    if not isinstance(value, Mapping):
        return (), ()
    names = texts(value.get("names"))
    return ((), names) if value.get("isExclude") is True else (names, ())


def by_sillytavern(value: Mapping[str, Any]) -> bool:
    """Return True if SillyTavern wrote this entry of a card."""
    more = value.get("extensions")
    return isinstance(more, Mapping) and not _SILLYTAVERN.isdisjoint(more)


def _either(first: object, second: object, default: bool) -> bool:
    return next((value for value in (first, second) if isinstance(value, bool)), default)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number_or_none(value: object) -> int | None:
    """Return a whole number, or None for the default, which some programs write as -1."""
    found = number(value, -1)
    return None if found < 0 else int(found)
