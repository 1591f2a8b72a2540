"""The fields of a character card, found in any of its forms, and changed there without a loss of the others.

The names are those of character cards V2 and V3. Cards of these versions have them in `data`; other programs at the top
and under other names.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modules.chat.roleplay.agnai_book import agnai_book, is_agnai_book

# A field's name in cards V2 and V3 -> other names for it, in snake case.
ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("char_name", "bot", "<|bot|>", "character_name", "display_name", "ai_name", "participant__name"),
    "description": ("context", "char_persona", "persona", "ai_persona", "base_prompt"),
    "personality": (),
    "scenario": ("world_scenario",),
    "first_mes": ("greeting", "char_greeting", "first_message", "greetings"),
    "mes_example": (
        "example_dialogue",
        "example_dialogues",
        "example_messages",
        "sample_chat",
        "definition",
    ),
    "system_prompt": (),
    "post_history_instructions": (),
    "creator_notes": ("creatorcomment",),
    "creator": ("author",),
    "character_version": (),
    "nickname": (),
}
LISTS = ("alternate_greetings", "group_only_greetings", "tags")
_WRAPPERS = ("data", "character", "char")
# The depth of the instruction that some programs store in `extensions`.
_DEPTH = 4
ROLES = ("system", "user", "assistant")
_EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class DepthPrompt:
    """A text that goes so many messages before the end of a prompt, as a message of this role."""

    text: str = ""
    depth: int = _DEPTH
    role: str = "system"


@dataclass(frozen=True)
class CardFields:
    """What Paddock uses of a card. `greetings`: the first message and the other ones; `book`: its lorebook."""

    name: str = ""
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    mes_example: str = ""
    greetings: tuple[str, ...] = ()
    group_only_greetings: tuple[str, ...] = ()
    system_prompt: str = ""
    post_history_instructions: str = ""
    creator_notes: str = ""
    creator: str = ""
    character_version: str = ""
    tags: tuple[str, ...] = ()
    depth_prompt: DepthPrompt = DepthPrompt()
    talkativeness: float = 0.5
    book: Mapping[str, Any] | None = None


def card_fields(texts: Mapping[str, Any], values: Mapping[str, Any]) -> CardFields:
    """Return the fields of a file's value. `texts`: the same value with numbers as they were written."""
    found: dict[str, Any] = {name: _text(texts, name) for name in ALIASES if name != "first_mes"}
    greetings = [*_texts(texts, "first_mes"), *_texts(texts, "alternate_greetings")]
    extensions = _first(values, "extensions")
    extensions = extensions if isinstance(extensions, Mapping) else {}
    book = _first(values, "character_book")
    return CardFields(
        **found,
        greetings=tuple(text for text in greetings if text.strip()),
        group_only_greetings=tuple(text for text in _texts(texts, "group_only_greetings") if text.strip()),
        tags=tuple(_tags(texts)),
        depth_prompt=depth_prompt(extensions.get("depth_prompt")),
        talkativeness=_fraction(extensions.get("talkativeness", values.get("talkativeness"))),
        book=_book(book),
    )


def _tags(value: Mapping[str, Any]) -> list[str]:
    """Return the tags. Older cards have them in one text, between commas."""
    found = _texts(value, "tags")
    if not isinstance(_first(value, "tags"), str):
        return found
    return [tag.strip() for text in found for tag in text.split(",") if tag.strip()]


def _book(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("entries"), (list, Mapping)):
        return None
    return agnai_book(value) if is_agnai_book(value) else value


def depth_prompt(value: object) -> DepthPrompt:
    """Return the text for a depth that {"prompt" or "text", "depth", "role"} describes."""
    if not isinstance(value, Mapping):
        return DepthPrompt()
    text, role = value.get("prompt", value.get("text")), value.get("role")
    return DepthPrompt(
        text if isinstance(text, str) else "",
        whole(value.get("depth"), _DEPTH),
        role if role in ROLES else "system",
    )


def whole(value: object, default: int, most: int = 10_000) -> int:
    """Return a whole number from 0 to `most`, or `default` for any other value. Texts of digits count."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        return min(max(0, int(float(value))), most)
    except (ValueError, OverflowError):
        return default


def with_fields(value: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a file's value in which these fields are changed, where the file has them.

    Names are those of cards V2 and V3, and `depth_prompt`. None removes `character_book`. Everything else stays.
    """
    new = copy.deepcopy(dict(value))
    places = list(_places(new))
    for name, change in changes.items():
        if name == "depth_prompt":
            _set_depth_prompt(places[0], change)
            continue
        keys = [(place, key) for place in places for key in place if _snake(key) in (name, *ALIASES.get(name, ()))]
        # A list of greetings becomes a text and a list beside it.
        in_use = [(place, key) for place, key in keys if not isinstance(place[key], Mapping) or name in LISTS]
        if name == "character_book":
            for place, key in keys:
                del place[key]
            if change is not None:
                places[0][name] = change
        elif in_use:
            for place in places:
                mine = [key for one, key in in_use if one is place]
                for key in _that_count(place, mine, name) if change else mine:
                    place[key] = change
        elif change:
            places[0][name] = change
    return new


def _that_count(place: Mapping[str, object], keys: Sequence[str], name: str) -> list[str]:
    """Return of a field's keys the one that is read, and those with the same value: some files have a field twice."""
    order = (name, *ALIASES.get(name, ()))
    ranked = sorted(keys, key=lambda key: (place[key] in _EMPTY, order.index(_snake(key))))
    return [key for key in ranked if key == ranked[0] or (place[key] == place[ranked[0]] and place[key] not in _EMPTY)]


def _set_depth_prompt(place: dict[str, Any], change: Mapping[str, Any]) -> None:
    extensions = place.get("extensions")
    extensions = dict(extensions) if isinstance(extensions, Mapping) else {}
    before = extensions.get("depth_prompt")
    if change.get("prompt") or before is not None:
        extensions["depth_prompt"] = {**(before if isinstance(before, Mapping) else {}), **change}
        place["extensions"] = extensions


def _places(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the tables that have a card's fields: those inside first, as cards V2 and V3 have them there."""
    for key, inner in value.items():
        if _snake(key) in _WRAPPERS and isinstance(inner, dict):
            yield inner
    yield value


def _first(value: Mapping[str, Any], name: str) -> Any:
    """Return the first value of a field under any of its names that is not empty, or None."""
    for wanted in (name, *ALIASES.get(name, ())):
        for place in _places(dict(value)):
            for key, item in place.items():
                if _snake(key) == wanted and item not in _EMPTY:
                    return item
    return None


def _text(value: Mapping[str, Any], name: str) -> str:
    texts = _texts(value, name)
    return ("\n".join(texts) if name != "name" else " ".join(texts[:1])) if texts else ""


def _texts(value: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts of a field: one, or those in a list."""
    found = _first(value, name)
    items: Sequence[Any] = found if isinstance(found, list) else [found]
    if isinstance(found, Mapping) and isinstance(found.get("attributes"), Mapping):
        # Agnai's form of a persona: {"attributes": {name: [text, …]}}.
        items = [
            text for listed in found["attributes"].values() for text in (listed if isinstance(listed, list) else ())
        ]
    return [item for item in items if isinstance(item, str)]


def _fraction(value: object) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) else 0.5
    except ValueError:
        return 0.5
    return min(max(0.0, number), 1.0) if number == number else 0.5


def _snake(key: object) -> str:
    """Return firstMes, First-Mes and "first mes" as first_mes."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(key).strip())).lower()
