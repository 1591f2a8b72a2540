"""Write a character in the versions of cards, and as text-generation-webui's YAML, without a loss of other fields."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from modules.chat.roleplay.card_fields import ALIASES, CardFields

V2, V3 = "chara_card_v2", "chara_card_v3"
_BACKFILLED = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. Please use a Character Card V3 "
    "compatible application to use this character card properly."
)
# Schemes of addresses of files that lie beside the card in an archive, and in chunks of a PNG file.
IN_ARCHIVE, IN_PNG = "embeded://", "__asset:"


def version_of(value: Mapping[str, Any]) -> int:
    """Return 2 or 3 for a card of that version, 1 for any other form."""
    if not isinstance(value.get("data"), Mapping):
        return 1
    return 3 if value.get("spec") == V3 else 2 if value.get("spec") == V2 else 1


def as_version(value: Mapping[str, Any], fields: CardFields, version: int) -> dict[str, Any]:
    """Return a file's value as a card of this version, from 1 to 3. A card that has it already is not changed."""
    if version == 1:
        return _version_1(fields)
    present = version_of(value)
    if present == version:
        return copy.deepcopy(dict(value))
    data = copy.deepcopy(dict(value["data"])) if present > 1 else _unknown(value)
    data = {**_required(fields, version), **data} if present > 1 else {**data, **_required(fields, version)}
    top = {key: copy.deepcopy(item) for key, item in value.items() if key != "data"} if present > 1 else {}
    spec = {"spec": V3, "spec_version": "3.0"} if version == 3 else {"spec": V2, "spec_version": "2.0"}
    return {**top, **spec, "data": data}


def backfilled(value: Mapping[str, Any], fields: CardFields) -> dict[str, Any]:
    """Return a card of version 3 as one of version 2 for older programs. Its notes say so, as they should."""
    card = as_version(value, fields, 2)
    notes = str(card["data"].get("creator_notes") or "")
    card["data"]["creator_notes"] = notes if _BACKFILLED in notes else f"{_BACKFILLED}\n\n{notes}".rstrip()
    return card


def as_textgen(value: Mapping[str, Any], fields: CardFields, context: str) -> dict[str, Any]:
    """Return a character in text-generation-webui's form; the fields that this form lacks follow."""
    own = {"name": fields.name, "greeting": fields.greetings[0] if fields.greetings else "", "context": context}
    if version_of(value) == 1:
        known = {"name", "first_mes", "description", "personality", "scenario", "mes_example"}
        names = {alias for name in known for alias in (name, *ALIASES.get(name, ()))}
        rest = {key: item for key, item in value.items() if key not in names}
    else:
        names = {"name", "first_mes", "description", "personality", "scenario", "mes_example"}
        rest = {key: item for key, item in value["data"].items() if key not in names}
    return {**own, **{key: item for key, item in rest.items() if item not in (None, "", [], {})}}


def moved_assets(value: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Return a card whose addresses of files inside name them as a PNG file or an archive does (`target`)."""
    new = copy.deepcopy(dict(value))
    for asset in _assets(new):
        for scheme in (IN_ARCHIVE, "embedded://", IN_PNG):
            uri = asset.get("uri")
            if isinstance(uri, str) and uri.startswith(scheme) and scheme != target:
                asset["uri"] = target + uri[len(scheme) :]
    return new


def main_icon(value: Mapping[str, Any]) -> str:
    """Return the address of the card's main icon, or ""."""
    icons = [asset for asset in _assets(value) if asset.get("type") == "icon" and isinstance(asset.get("uri"), str)]
    chosen = next((asset for asset in icons if asset.get("name") == "main"), icons[0] if icons else {})
    return str(chosen.get("uri", ""))


def to_json(value: object) -> bytes:
    """Return a card as the content of a JSON file."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def _assets(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = value.get("data")
    listed = data.get("assets") if isinstance(data, Mapping) else None
    return [asset for asset in listed if isinstance(asset, dict)] if isinstance(listed, list) else []


def _version_1(fields: CardFields) -> dict[str, Any]:
    return {
        "name": fields.name,
        "description": fields.description,
        "personality": fields.personality,
        "scenario": fields.scenario,
        "first_mes": fields.greetings[0] if fields.greetings else "",
        "mes_example": fields.mes_example,
    }


def _required(fields: CardFields, version: int) -> dict[str, Any]:
    """Return the fields that every card of this version has."""
    found: dict[str, Any] = {
        **_version_1(fields),
        "creator_notes": fields.creator_notes,
        "system_prompt": fields.system_prompt,
        "post_history_instructions": fields.post_history_instructions,
        "alternate_greetings": list(fields.greetings[1:]),
        "tags": list(fields.tags),
        "creator": fields.creator,
        "character_version": fields.character_version,
        "extensions": {},
    }
    if fields.book is not None:
        found["character_book"] = copy.deepcopy(dict(fields.book))
    return {**found, "group_only_greetings": list(fields.group_only_greetings)} if version == 3 else found


def _unknown(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file of another form has beside the fields of a card. Its own names for these are not needed."""
    names = {alias for name, aliases in ALIASES.items() for alias in (name, *aliases)} | {"characterBook"}
    return {key: copy.deepcopy(item) for key, item in value.items() if key not in names}
