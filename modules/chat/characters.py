"""Characters, one file each: YAML, JSON, a PNG card or a CHARX archive. A picture of the same name is the avatar."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from modules.chat.character_file import MOST_FILE, read_character
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_fields import CardFields
from modules.chat.roleplay.card_png import has_png_card
from modules.chat.roleplay.macros import Macros
from modules.files.data_files import DataFileError, to_yaml
from modules.files.paths import safe_file_path, write_atomically
from modules.files.printable_name import printable_name
from modules.protocol.errors import PaddockError

# The first one that a character has counts.
_ENDINGS = (".yaml", ".yml", ".json", ".png", ".charx")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_TRASH = ".trash"


class CharacterError(PaddockError):
    """A character does not exist, or its file cannot be read."""

    code = "character"


@dataclass(frozen=True)
class Character:
    """A character. `name` replaces {{char}}; `context` begins the prompt; `greeting` is a chat's first message.

    `extra`: keys of the file that Paddock does not use; they are saved again. `notes`: sentences about unused parts.
    `card`: the fields that cards have; `value`: everything in the file.
    """

    name: str
    context: str = ""
    greeting: str = ""
    extra: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)
    card: CardFields = field(default_factory=CardFields, compare=False)
    value: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def whole_context(self) -> str:
        """Return the context with the card's system prompt before it, for prompts that have no other."""
        own = self.card.system_prompt.replace("{{original}}", "").strip()
        return "\n".join(part for part in (own, self.context) if part)

    @property
    def greetings(self) -> tuple[str, ...]:
        """Return the texts that a chat may begin with, the usual one first."""
        return self.card.greetings or ((self.greeting,) if self.greeting.strip() else ())

    @property
    def spoken_name(self) -> str:
        """Return what {{char}} stands for: the nickname of a card that has one."""
        return self.card.nickname.strip() or self.name


def fill_in(text: str, user: str, character: str) -> str:
    """Return `text` with {{user}}, {{char}} and the other macros replaced."""
    return Macros({"user": user, "char": character}).expand(text)


class Characters:
    """The characters in one folder. A chat stores the file's name without its suffix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # File name -> (what changes with the file, the character).
        self._read: dict[str, tuple[object, Character]] = {}

    def names(self) -> list[str]:
        """Return the names in the folder now, sorted without regard to case."""
        if not self._folder.is_dir():
            return []
        files = [path for path in self._folder.iterdir() if path.suffix in _ENDINGS and path.name[0] != "."]
        found = {path.stem for path in files if path.suffix != ".png"}
        found |= {path.stem for path in files if path.stem not in found and _is_card(path)}
        return sorted(map(printable_name, found), key=str.casefold)

    def load(self, name: str) -> Character:
        """Return the character with this file name. Raises CharacterError, PathError."""
        path = self._find(name)
        known, stamp = self._read.get(name), _stamp(path)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            found = read_character(path)
        except FileNotFoundError:
            raise self._missing(name) from None
        except DataFileError as error:
            raise CharacterError(
                f"The character file {path.name} cannot be read: {error.why}. Correct it by hand, or save the "
                "character again."
            ) from error
        except CardError as error:
            raise CharacterError(error.message, detail=error.detail) from error
        who = Character(
            found.name or name,
            found.context,
            found.greeting,
            found.extra,
            tuple(found.notes),
            found.card,
            found.value,
        )
        self._read[name] = stamp, who
        return who

    def save(self, name: str, character: Character) -> None:
        """Write or replace the file with this name atomically."""
        path = safe_file_path(self._folder, name, _ENDINGS[0], "character")
        own = {"name": character.name, "greeting": character.greeting, "context": character.context}
        more = {key: value for key, value in character.extra.items() if key not in own}
        write_atomically(path, to_yaml({**own, **more}))

    def delete(self, name: str) -> Path:
        """Move the character's files to the folder's trash. Return the new path of the one with its texts."""
        first, stamp = self._find(name), time.time_ns()
        trash = self._folder / _TRASH
        trash.mkdir(exist_ok=True)
        for path in self.files(name):
            path.rename(trash / f"{name}-{stamp}{path.suffix}")
        return trash / f"{name}-{stamp}{first.suffix}"

    def files(self, name: str) -> list[Path]:
        """Return all files of a character: its texts, its picture, and the archive with what its card names."""
        wanted = safe_file_path(self._folder, name, _ENDINGS[0], "character")
        endings = dict.fromkeys((*_ENDINGS, *PICTURES))
        return [path for ending in endings if (path := wanted.with_name(name + ending)).is_file()]

    def new_path(self, name: str, ending: str) -> Path:
        """Return the path of a character's file with this ending, which need not exist. Raises PathError."""
        return safe_file_path(self._folder, name, ending, "character")

    def picture(self, name: str) -> Path | None:
        """Return the path of a character's avatar, or None. Raises PathError."""
        return next((path for path in self.files(name) if path.suffix in PICTURES), None)

    def _find(self, name: str) -> Path:
        wanted = safe_file_path(self._folder, name, _ENDINGS[0], "character")
        for ending in _ENDINGS:
            path = wanted.with_name(name + ending)
            if path.is_file() and (ending != ".png" or _is_card(path)):
                return path
        raise self._missing(name)

    def _missing(self, name: str) -> CharacterError:
        names = ", ".join(self.names()) or "none yet"
        return CharacterError(f"There is no character named {name!r}. The characters are: {names}. Choose one of them.")


def _stamp(path: Path) -> object:
    try:
        facts = path.stat()
    except OSError:
        return None
    return path.suffix, facts.st_size, facts.st_mtime_ns, facts.st_ino


def _is_card(path: Path) -> bool:
    """Return True for a PNG file with a character card in it."""
    try:
        facts = path.stat()
        return _has_card(str(path), facts.st_size, facts.st_mtime_ns)
    except OSError:
        return False


@lru_cache(1000)
def _has_card(path: str, size: int, changed: int) -> bool:
    return size <= MOST_FILE and has_png_card(Path(path).read_bytes(), path)
