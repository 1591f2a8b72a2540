"""Characters, one YAML or JSON file each. They are saved in text-generation-webui's form: name, context, greeting."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.chat.character_file import read_character
from modules.files.data_files import DataFileError, to_yaml
from modules.files.paths import safe_file_path, write_atomically
from modules.protocol.errors import PaddockError

_ENDINGS = (".yaml", ".yml", ".json")
_TRASH = ".trash"


class CharacterError(PaddockError):
    """A character does not exist, or its file cannot be read."""

    code = "character"


@dataclass(frozen=True)
class Character:
    """A character. `name` replaces {{char}}; `context` begins the prompt; `greeting` is a chat's first message.

    `extra`: keys of the file that Paddock does not use; they are saved again. `notes`: sentences about unused parts.
    """

    name: str
    context: str = ""
    greeting: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)


def fill_in(text: str, user: str, character: str) -> str:
    """Return `text` with {{user}} and {{char}}, and the older <USER> and <BOT>, replaced by the names."""
    for mark, name in (("{{user}}", user), ("<USER>", user), ("{{char}}", character), ("<BOT>", character)):
        text = text.replace(mark, name)
    return text


class Characters:
    """The characters in one folder. A chat stores the file's name without its suffix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names in the folder now, sorted without regard to case."""
        if not self._folder.is_dir():
            return []
        found = {path.stem for path in self._folder.iterdir() if path.suffix in _ENDINGS and path.name[0] != "."}
        return sorted(found, key=str.casefold)

    def load(self, name: str) -> Character:
        """Return the character with this file name. Raises CharacterError, PathError."""
        path = self._find(name)
        try:
            found = read_character(path)
        except FileNotFoundError:
            raise self._missing(name) from None
        except DataFileError as error:
            raise CharacterError(
                f"The character file {path.name} cannot be read: {error.why}. Correct it by hand, or save the "
                "character again."
            ) from error
        return Character(found.name or name, found.context, found.greeting, found.extra, tuple(found.notes))

    def save(self, name: str, character: Character) -> None:
        """Write or replace the file with this name atomically."""
        path = safe_file_path(self._folder, name, _ENDINGS[0], "character")
        own = {"name": character.name, "greeting": character.greeting, "context": character.context}
        more = {key: value for key, value in character.extra.items() if key not in own}
        write_atomically(path, to_yaml({**own, **more}))

    def delete(self, name: str) -> Path:
        """Move the character's file to the folder's trash. Return its new path."""
        path = self._find(name)
        trash = self._folder / _TRASH
        trash.mkdir(exist_ok=True)
        moved = trash / f"{path.stem}-{time.time_ns()}{path.suffix}"
        path.rename(moved)
        return moved

    def _find(self, name: str) -> Path:
        wanted = safe_file_path(self._folder, name, _ENDINGS[0], "character")
        for ending in _ENDINGS:
            path = wanted.with_name(name + ending)
            if path.is_file():
                return path
        raise self._missing(name)

    def _missing(self, name: str) -> CharacterError:
        names = ", ".join(self.names()) or "none yet"
        return CharacterError(f"There is no character named {name!r}. The characters are: {names}. Choose one of them.")
