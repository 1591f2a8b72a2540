"""Import, edit and export characters. What Paddock does not know in a file stays in it."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.chat.attachments.model_images import ModelImages
from modules.chat.character_file import parse_character
from modules.chat.characters import Character, Characters
from modules.chat.roleplay.card_archive import CardArchive, is_archive, write_archive
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_fields import CardFields, with_fields
from modules.chat.roleplay.card_png import is_png, plain_picture, read_png_card, write_png_card
from modules.chat.roleplay.card_versions import (
    IN_ARCHIVE,
    IN_PNG,
    as_textgen,
    as_version,
    backfilled,
    main_icon,
    moved_assets,
    to_json,
    version_of,
)
from modules.chat.roleplay.file_names import free_name
from modules.chat.roleplay.pictures import MOST_BYTES, picture_ending, write_picture
from modules.files.data_files import DataFileError, fix_surrogates, to_yaml
from modules.files.paths import write_atomically

# What a character can be exported as -> the ending of the file.
FORMS = {
    "png": ".png",
    "json": ".json",
    "charx": ".charx",
    "v3": ".json",
    "v2": ".json",
    "v1": ".json",
    "yaml": ".yaml",
}
_PNG_START = b"\x89PNG"


@dataclass(frozen=True)
class ExportedFile:
    """A file to save."""

    name: str
    content: bytes


class CharacterLibrary:
    """The characters of one account for the page. `images` turns pictures of other formats into PNG files.

    Every method raises CardError, CharacterError or PathError, and may block.
    """

    def __init__(self, characters: Characters, images: ModelImages) -> None:
        self._characters, self._images = characters, images

    def import_file(self, raw: bytes, file: str) -> tuple[str, tuple[str, ...]]:
        """Store a character's file of any form under a free name. Return (name, sentences about what was not used)."""
        try:
            found = parse_character(raw, file)
        except DataFileError as error:
            raise CardError(error.message) from error
        stem = Path(file).stem
        name = self._free(found.name or stem)
        notes = list(found.notes)
        picture, assets = b"", b""
        if is_png(raw):
            png = read_png_card(raw, file)
            picture, assets = png.image, write_archive(None, png.assets) if png.assets else b""
        elif is_archive(raw):
            picture, assets = _icon(CardArchive(raw, file), found.value), raw
        picture = picture or _icon_in_data(found.value)
        if picture:
            try:
                write_picture(self._place(name), picture, f"The picture of {file}")
            except CardError as error:
                notes.append(f"It was imported without its picture. {error.message}")
        if assets:
            write_atomically(self._characters.new_path(name, ".charx"), assets)
        yaml = not (is_png(raw) or is_archive(raw)) and not _is_json(raw, file)
        content = raw if yaml else to_json(fix_surrogates(found.value))
        write_atomically(self._characters.new_path(name, ".yaml" if yaml else ".json"), content)
        return name, tuple(notes)

    def save(self, name: str, changes: Mapping[str, Any]) -> str:
        """Change fields of a character, or make one if `name` is "". Return its name.

        `changes`: as of `with_fields`, with `greetings`, the first message and the others, in place of `first_mes` and
        `alternate_greetings`.
        """
        wanted: dict[str, Any] = fix_surrogates(dict(changes))
        if "greetings" in wanted:
            greetings = [text for text in wanted.pop("greetings") if str(text).strip()]
            wanted |= {"first_mes": greetings[0] if greetings else "", "alternate_greetings": greetings[1:]}
        title = str(wanted.get("name") or "").strip()
        if not name and not title:
            raise CardError("A character needs a name. Write one first.")
        if name:
            who = self._characters.load(name)
            value, path = who.value, self._text_path(name)
            present = _present(who.card)
            wanted = {key: item for key, item in wanted.items() if item != present.get(key)}
        else:
            name = self._free(title)
            value, path = as_version({}, CardFields(name=title), 3), self._characters.new_path(name, ".json")
            value["data"]["creation_date"] = int(time.time())
        if not wanted:
            return name
        value = with_fields(value, wanted)
        if version_of(value) == 3:
            value["data"]["modification_date"] = int(time.time())
        write_atomically(path, to_yaml(value) if path.suffix != ".json" else to_json(value))
        return name

    def set_picture(self, name: str, data: bytes) -> None:
        """Give a character this avatar."""
        self._characters.load(name)
        # A card in the picture itself would be lost with it.
        self._move_card_out(name)
        image = read_png_card(data, name).image if is_png(data) else data
        write_picture(self._place(name), image, f"The picture of {name}")

    def duplicate(self, name: str) -> str:
        """Copy a character with its files. Return the copy's name."""
        self._characters.load(name)
        new = self._free(name)
        for path in self._characters.files(name):
            write_atomically(self._characters.new_path(new, path.suffix), path.read_bytes())
        return new

    def export(self, name: str, form: str) -> ExportedFile:
        """Return a character as a file. `form`: one of FORMS."""
        if form not in FORMS:
            raise CardError(f"A character cannot be saved as {form!r}. The forms are: {', '.join(FORMS)}.")
        who = self._characters.load(name)
        content = {"png": self._as_png, "charx": self._as_charx, "yaml": self._as_yaml}.get(form)
        made = content(name, who) if content else self._as_json(name, who, form)
        return ExportedFile(f"{name}{FORMS[form]}", made)

    def _as_json(self, name: str, who: Character, form: str) -> bytes:
        value = who.value if form == "json" else as_version(who.value, who.card, int(form[1]))
        assets = self._assets(name) if version_of(value) == 3 else {}
        return to_json(_with_data_addresses(value, assets) if assets else value)

    def _as_yaml(self, name: str, who: Character) -> bytes:
        return to_yaml(as_textgen(who.value, who.card, who.whole_context)).encode()

    def _as_png(self, name: str, who: Character) -> bytes:
        picture = self._picture(name)
        if not picture:
            image = plain_picture()
        elif picture.startswith(_PNG_START):
            image = picture
        else:
            image = Path(self._images.add(picture, f"The picture of {name}")).read_bytes()
        assets = self._assets(name)
        if version_of(who.value) == 3:
            value = moved_assets(who.value, IN_PNG) if assets else who.value
            cards = {"chara": to_json(backfilled(value, who.card)), "ccv3": to_json(value)}
        else:
            cards = {"chara": to_json(as_version(who.value, who.card, max(2, version_of(who.value))))}
        return write_png_card(image, cards, assets, f"The picture of {name}")

    def _as_charx(self, name: str, who: Character) -> bytes:
        value, assets = moved_assets(as_version(who.value, who.card, 3), IN_ARCHIVE), self._assets(name)
        picture = self._picture(name)
        if picture and main_icon(value) in ("", "ccdefault:"):
            ending = picture_ending(picture, name)[1:]
            path = f"assets/icon/images/main.{ending}"
            assets = {**assets, path: picture}
            own = {"type": "icon", "uri": f"{IN_ARCHIVE}{path}", "name": "main", "ext": ending}
            listed = value["data"].get("assets")
            others = [one for one in listed if one.get("uri") != "ccdefault:"] if isinstance(listed, list) else []
            value["data"]["assets"] = [own, *others]
        return write_archive(to_json(value), assets)

    def _assets(self, name: str) -> dict[str, bytes]:
        """Return the files that a card names, by their paths in its archive."""
        path = self._characters.new_path(name, ".charx")
        return CardArchive(path.read_bytes(), path.name).assets() if path.is_file() else {}

    def _picture(self, name: str) -> bytes:
        path = self._characters.picture(name)
        return path.read_bytes() if path else b""

    def _text_path(self, name: str) -> Path:
        """Return where a character's texts are written: its YAML or JSON file, or a new JSON file beside its card."""
        paths = [self._characters.new_path(name, ending) for ending in (".yaml", ".yml", ".json")]
        return next((path for path in paths if path.is_file()), paths[-1])

    def _move_card_out(self, name: str) -> None:
        path = self._text_path(name)
        if not path.is_file():
            write_atomically(path, to_json(self._characters.load(name).value))

    def _place(self, name: str) -> Path:
        path = self._characters.new_path(name, ".png")
        return path.with_name(path.name[: -len(".png")])

    def _free(self, name: str) -> str:
        return free_name(
            name, "Character", self._characters.names(), lambda one: self._characters.new_path(one, ".json")
        )


def card_value(card: CardFields) -> dict[str, Any]:
    """Return the fields of a card for the editor, under the names that `CharacterLibrary.save` takes."""
    present = _present(card)
    return {key: item for key, item in present.items() if key not in ("first_mes", "alternate_greetings")} | {
        "greetings": list(card.greetings)
    }


def _present(card: CardFields) -> dict[str, Any]:
    names = ("name", "nickname", "description", "personality", "scenario", "mes_example", "system_prompt")
    more = ("post_history_instructions", "creator_notes", "creator", "character_version")
    depth = card.depth_prompt
    return {
        **{name: getattr(card, name) for name in (*names, *more)},
        "first_mes": card.greetings[0] if card.greetings else "",
        "alternate_greetings": list(card.greetings[1:]),
        "group_only_greetings": list(card.group_only_greetings),
        "tags": list(card.tags),
        "depth_prompt": {"prompt": depth.text, "depth": depth.depth, "role": depth.role},
        "character_book": dict(card.book) if card.book is not None else None,
    }


def _is_json(raw: bytes, file: str) -> bool:
    return file.lower().endswith(".json") or raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _icon(archive: CardArchive, value: Mapping[str, Any]) -> bytes:
    uri = main_icon(value)
    for scheme in (IN_ARCHIVE, "embedded://"):
        path = uri.removeprefix(scheme)
        if path != uri and path in archive.paths():
            return archive.read(path, MOST_BYTES)
    return b""


def _icon_in_data(value: Mapping[str, Any]) -> bytes:
    """Return the main icon of a card that has it as base64, or b""."""
    head, _, data = main_icon(value).partition(";base64,")
    if not head.startswith("data:image/"):
        return b""
    try:
        return base64.b64decode(data, validate=False)
    except ValueError:
        return b""


def _with_data_addresses(value: Mapping[str, Any], assets: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a card that has the files beside it inside, as base64."""
    new = moved_assets(value, IN_ARCHIVE)
    for asset in new["data"].get("assets") or ():
        uri = asset.get("uri") if isinstance(asset, dict) else None
        path = uri.removeprefix(IN_ARCHIVE) if isinstance(uri, str) else ""
        if isinstance(uri, str) and path != uri and path in assets:
            ending = str(asset.get("ext") or "octet-stream")
            kind = f"image/{ending}" if ending in ("png", "jpeg", "webp", "gif") else "application/octet-stream"
            asset["uri"] = f"data:{kind};base64,{base64.b64encode(assets[path]).decode()}"
    return new
