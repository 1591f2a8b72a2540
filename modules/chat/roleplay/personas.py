"""Personas: who the user is in a chat. One YAML file each, with a picture of the same name beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.file_names import free_name
from modules.chat.roleplay.lore_values import texts
from modules.chat.roleplay.pictures import ENDINGS, find_picture, write_picture
from modules.files.data_files import DataFileError, read_yaml, to_yaml
from modules.files.paths import safe_file_path, write_atomically
from modules.files.printable_name import printable_name
from modules.protocol.errors import PaddockError

_ENDING = ".yaml"
_TRASH = ".trash"


@dataclass(frozen=True)
class Persona:
    """A person that the user plays. `name` replaces {{user}}; `description` goes into prompts.

    `default`: of chats without another one; `characters`: the file names of those whose chats use it.
    """

    name: str
    description: str = ""
    default: bool = False
    characters: tuple[str, ...] = ()


class Personas:
    """The personas in one folder, by the names of their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names in the folder now, sorted without regard to case."""
        if not self._folder.is_dir():
            return []
        files = (path for path in self._folder.iterdir() if path.suffix == _ENDING and path.name[0] != ".")
        return sorted((printable_name(path.stem) for path in files), key=str.casefold)

    def load(self, name: str) -> Persona:
        """Return a persona. Raises CardError or PathError."""
        path = self._path(name)
        try:
            value = read_yaml(path)
        except FileNotFoundError:
            raise CardError(f"There is no persona named {name!r}. Choose another one for this chat.") from None
        except DataFileError as error:
            raise CardError(f"The persona {name} cannot be read: {error.why}. Correct {path.name} by hand.") from error
        found = value if isinstance(value, Mapping) else {}
        title, description = found.get("name"), found.get("description")
        return Persona(
            title if isinstance(title, str) and title.strip() else name,
            description if isinstance(description, str) else "",
            found.get("default") is True,
            texts(found.get("characters")),
        )

    def save(self, name: str, persona: Persona) -> str:
        """Write a persona; without a `name`, a new one. Return its name. Only one is the default, of all and of a
        character."""
        name = name or free_name(persona.name, "Persona", self.names(), self._path)
        path = self._path(name)
        for other in self.names():
            if other != name:
                self._yield_to(other, persona)
        self._write(path, persona)
        return name

    def _yield_to(self, name: str, persona: Persona) -> None:
        """Take from a persona what another one has now."""
        try:
            before = self.load(name)
        except PaddockError:
            return
        characters = tuple(one for one in before.characters if one not in persona.characters)
        after = Persona(before.name, before.description, before.default and not persona.default, characters)
        if after != before:
            self._write(self._path(name), after)

    def delete(self, name: str) -> None:
        """Move a persona to the folder's trash."""
        path, stamp = self._path(name), time.time_ns()
        trash = self._folder / _TRASH
        trash.mkdir(parents=True, exist_ok=True)
        for ending in (_ENDING, *ENDINGS):
            if (file := path.with_suffix(ending)).is_file():
                file.rename(trash / f"{name}-{stamp}{ending}")

    def picture(self, name: str) -> Path | None:
        """Return the path of a persona's avatar, or None."""
        return find_picture(self._place(name))

    def set_picture(self, name: str, data: bytes) -> None:
        """Give a persona this avatar; blocking. Raises CardError."""
        self.load(name)
        write_picture(self._place(name), data, f"The picture of {name}")

    def choose(self, chosen: str, character: str) -> tuple[str, Persona | None]:
        """Return (file name, persona) of a chat: the chosen one, else that of the character, else the default.

        `chosen` is "" without a choice. Raises CardError if the chosen one does not exist.
        """
        if chosen:
            return chosen, self.load(chosen)
        default: tuple[str, Persona | None] = ("", None)
        for name in self.names():
            try:
                one = self.load(name)
            except PaddockError:
                continue
            if character and character in one.characters:
                return name, one
            if one.default and default[1] is None:
                default = name, one
        return default

    def _write(self, path: Path, persona: Persona) -> None:
        value = {
            "name": persona.name,
            "description": persona.description,
            **({"default": True} if persona.default else {}),
            **({"characters": list(persona.characters)} if persona.characters else {}),
        }
        write_atomically(path, to_yaml(value))

    def _path(self, name: str) -> Path:
        return safe_file_path(self._folder, name, _ENDING, "persona")

    def _place(self, name: str) -> Path:
        path = self._path(name)
        return path.with_name(path.name[: -len(_ENDING)])
