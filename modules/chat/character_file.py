"""Read a character's file, whichever program wrote it.

Supported are text-generation-webui's YAML (name, context, greeting; `bot` in older ones), Pygmalion's JSON (char_name,
char_persona, …), and character cards V1, V2 and V3 (first_mes, mes_example, …; V2 and V3 inside `data`) as JSON, in PNG
files and in CHARX archives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modules.chat.roleplay.card_archive import CardArchive, is_archive
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_fields import CardFields, card_fields
from modules.chat.roleplay.card_png import is_png, read_png_card
from modules.files.data_files import DataFileError, Limits, parse_json, parse_yaml, read_bytes

# Cards carry lorebooks, and their files pictures and other assets.
CARD_LIMITS = Limits(size=24 << 20, nodes=1_000_000)
MOST_FILE = 64 << 20
# Keys in snake case. The first one with text counts.
_NAMES = ("name", "char_name", "bot", "<|bot|>", "character_name", "display_name", "ai_name", "participant__name")
_ALTERNATE_GREETINGS = "alternate_greetings"
_GREETINGS = ("greeting", "first_mes", "char_greeting", "first_message", "greetings", _ALTERNATE_GREETINGS)
# Parts of the context, in this order, each with its heading.
_PARTS = (
    ("context", ""),
    ("description", ""),
    ("char_persona", ""),
    ("persona", ""),
    ("ai_persona", ""),
    ("base_prompt", ""),
    ("personality", "Personality: "),
    ("scenario", "Scenario: "),
    ("world_scenario", "Scenario: "),
    ("mes_example", ""),
    ("example_dialogue", ""),
    ("example_dialogues", ""),
    ("example_messages", ""),
    ("sample_chat", ""),
    ("definition", ""),
)
# Cards put their fields into one of these.
_WRAPPERS = ("data", "character", "char")
# Keys about the file or the user, not about the character: they are saved again without a note.
_ABOUT = frozenset(
    [
        "alternate_greetings",
        "system_prompt",
        "post_history_instructions",
        "character_book",
        "spec",
        "spec_version",
        "tags",
        "creator",
        "creator_notes",
        "creatorcomment",
        "character_version",
        "version",
        "extensions",
        "create_date",
        "creation_date",
        "modification_date",
        "created_at",
        "avatar",
        "avatar_url",
        "image",
        "chat",
        "fav",
        "talkativeness",
        "metadata",
        "meta",
        "your_name",
        "user",
        "<|user|>",
        "turn_template",
        "instruction_template",
        "kind",
        "source",
        "nickname",
        "group_only_greetings",
        "assets",
        "id",
        "type",
        "creator_notes_multilingual",
        "author",
    ]
)


@dataclass
class CharacterFields:
    """A character's fields. `notes`: sentences about what was not used; `extra`: the keys that were not used.

    `card`: the fields that cards have; `value`: everything in the file.
    """

    name: str = ""
    context: str = ""
    greeting: str = ""
    notes: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    card: CardFields = field(default_factory=CardFields)
    value: dict[str, Any] = field(default_factory=dict)


def read_character(path: Path) -> CharacterFields:
    """Return the fields of the file at `path`. Raises DataFileError, also if it has no known field, or CardError."""
    return parse_character(read_bytes(path, Limits(size=MOST_FILE)), path.name)


def parse_character(raw: bytes, name: str) -> CharacterFields:
    """Return the fields of a character's file in memory, like `read_character`."""
    if is_png(raw):
        return _parse_png(raw, name)
    if is_archive(raw):
        return parse_character(CardArchive(raw, name).card(), name)
    texts, values = _only(_parse(raw, name, as_text=True)), _only(_parse(raw, name, as_text=False))
    if not isinstance(texts, dict) or not isinstance(values, dict):
        raise DataFileError(name, "it has no lines such as 'name: …' and 'context: …'")
    found = CharacterFields(card=card_fields(texts, values), value=values)
    places = [(key, texts[key], values[key]) for key in texts if _snake(key) in _WRAPPERS and _is_table(texts[key])]
    used: set[str] = set()
    known: dict[str, Any] = {}
    for source in (*(table for _, table, _ in places), texts):
        known.update({_snake(key): value for key, value in source.items() if _snake(key) not in known})
    found.name = " ".join(_first(known, _NAMES, used, found).split())
    found.greeting = _first(known, _GREETINGS, used, found)
    found.context = _context(known, used, found)
    for key, _, table in places:
        found.extra[key] = _rest(table, used)
    found.extra = {**_rest(values, used), **found.extra}
    _note_the_rest(known, used, {_snake(key) for key, *_ in places}, found)
    if not (found.name or found.context or found.greeting):
        keys = ", ".join(str(key)[:30] for key in list(texts)[:8]) or "none"
        raise DataFileError(name, f"it has no field of a character that Paddock knows (its keys: {keys})")
    if not (found.context or found.greeting or found.card.system_prompt):
        found.notes.append("It has neither a context nor a greeting.")
    return found


def _parse_png(raw: bytes, name: str) -> CharacterFields:
    """Return the character in a PNG file: of version 3 where it has one that can be read."""
    png = read_png_card(raw, name)
    if not png.cards:
        raise CardError(
            f"{name} is a picture without a character card. Choose a picture that a program exported as a card."
        )
    notes, problem = list(png.notes), DataFileError(name, "its card is empty")
    for keyword in (key for key in ("ccv3", "chara") if key in png.cards):
        try:
            found = parse_character(png.cards[keyword], f"{name} ({keyword})")
        except DataFileError as error:
            problem = error
            notes.append(f"The card of version 3 in {name} is damaged, so that of version 2 was read.")
        else:
            return replace(found, notes=[*notes, *found.notes])
    raise problem


def _parse(raw: bytes, name: str, *, as_text: bool) -> object:
    """Return the file's value. JSON is tried first where it is likely, because YAML rejects its tabs and emoji."""
    looks_like_json = name.lower().endswith(".json") or raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
    if not looks_like_json:
        return parse_yaml(raw, name, as_text=as_text)
    try:
        return parse_json(raw, name, as_text=as_text, limits=CARD_LIMITS)
    except DataFileError as error:
        try:
            return parse_yaml(raw, name, as_text=as_text)
        except DataFileError:
            raise error from None


def _only(value: Any) -> object:
    """Return the entry of a list with one entry: some programs export a single character so."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _first(known: Mapping[str, object], keys: tuple[str, ...], used: set[str], found: CharacterFields) -> str:
    """Return the text of the first of `keys` that has one; of a list, its first text."""
    for key in keys:
        value = known.get(key)
        texts = _texts(value)
        if texts is None:
            continue
        if text := next((text for text in texts if text.strip()), ""):
            used.add(key)
            if len(texts) > 1 and key in _GREETINGS:
                found.extra[_ALTERNATE_GREETINGS] = texts[texts.index(text) + 1 :]
            elif len(texts) > 1:
                found.notes.append(f"Of the {len(texts)} texts in {key}, only the first is used.")
            return text
        used.add(key)
    return ""


def _context(known: Mapping[str, object], used: set[str], found: CharacterFields) -> str:
    parts = []
    for key, heading in _PARTS:
        texts = _texts(_persona(known.get(key)))
        if texts is None:
            continue
        used.add(key)
        # <START> begins an example.
        text = "\n".join(texts)
        text = re.sub(r"(?im)^[ \t]*<START>[ \t]*$\n?", "\n", text).strip()
        # Some files have a field under two names.
        if text and (part := f"{heading}{text}") not in parts:
            parts.append(part)
    return "\n".join(parts)


def _persona(value: Any) -> object:
    """Return the texts in {"attributes": {name: [text, …]}}, Agnai's form of a persona; other values unchanged."""
    attributes = value.get("attributes") if isinstance(value, dict) else None
    if not isinstance(attributes, dict):
        return value
    return [text for item in attributes.values() for text in _texts(item) or []]


def _texts(value: Any) -> list[str] | None:
    """Return the texts of a scalar or a list of scalars; None for any other value."""
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str | bool | None) for item in value):
        return [text for item in value if item is not None for text in _texts(item) or []]
    return None


def _rest(values: Mapping[str, object], used: set[str]) -> dict[str, object]:
    return {key: value for key, value in values.items() if _snake(key) not in used}


def _note_the_rest(known: Mapping[str, object], used: set[str], wrappers: set[str], found: CharacterFields) -> None:
    wanted = {*_NAMES, *_GREETINGS, *(key for key, _ in _PARTS)}
    ignored = [
        key for key, value in known.items() if key not in used | wrappers | _ABOUT and value not in (None, "", [], {})
    ]
    # A second greeting under another key needs no note; a value of the wrong type does.
    ignored = [key for key in ignored if key not in wanted or _texts(_persona(known[key])) is None]
    if ignored:
        shown = ", ".join(key[:40] for key in ignored[:8]) + (", …" if len(ignored) > 8 else "")
        found.notes.append(f"Not used, because Paddock does not know their meaning: {shown}.")


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _snake(key: str) -> str:
    """Return firstMes, First-Mes and "first mes" as first_mes."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip())).lower()
