"""Characters: one YAML file each (name, context, greeting), as text-generation-webui writes them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modules.paths import file_of, write_atomically
from modules.protocol.errors import PaddockError

_ENDINGS = (".yaml", ".yml", ".json")
_TRASH = ".trash"


class CharacterError(PaddockError):
    """A character that is not there, or whose file cannot be read."""

    code = "character"


@dataclass(frozen=True)
class Character:
    """`name` is what {{char}} stands for; `context` opens the prompt; `greeting` is the first message of a chat.

    `extra`: keys of the file that Paddock does not use; saving keeps them.
    """

    name: str
    context: str = ""
    greeting: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def fill_in(text: str, user: str, character: str) -> str:
    """`text` with {{user}} and {{char}}, and the older <USER> and <BOT>, replaced by the names."""
    for mark, name in (("{{user}}", user), ("<USER>", user), ("{{char}}", character), ("<BOT>", character)):
        text = text.replace(mark, name)
    return text


class Characters:
    """The characters in one folder. A file's name without its ending is what a chat remembers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """What is in the folder now, sorted without regard to case."""
        if not self._folder.is_dir():
            return []
        found = {path.stem for path in self._folder.iterdir() if path.suffix in _ENDINGS and path.name[0] != "."}
        return sorted(found, key=str.casefold)

    def load(self, name: str) -> Character:
        """The character of that file name. Raises CharacterError, PathError."""
        path = self._find(name)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CharacterError(
                f"The character file {path.name} cannot be read. Mend it by hand, or save the character again.",
                detail=str(error),
            ) from error
        if not isinstance(values, dict):
            raise CharacterError(
                f"The character file {path.name} needs lines such as 'name: …' and 'context: …'. Add them."
            )
        extra = {str(key): value for key, value in values.items() if key not in ("name", "context", "greeting")}
        # Files of older versions keep sample lines apart from the context; both open the prompt.
        context = "\n".join(
            str(part).strip() for part in (values.get("context"), extra.get("example_dialogue")) if part
        )
        return Character(str(values.get("name") or name), context, str(values.get("greeting") or ""), extra)

    def save(self, name: str, character: Character) -> None:
        """Write or replace the file of that name, all or nothing."""
        path = file_of(self._folder, name, _ENDINGS[0], "character")
        extra = {key: value for key, value in character.extra.items() if key != "example_dialogue"}
        values = {"name": character.name, "greeting": character.greeting, "context": character.context, **extra}
        write_atomically(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))

    def delete(self, name: str) -> Path:
        """Move the character's file to the folder's trash; returns where it lies now."""
        path = self._find(name)
        trash = self._folder / _TRASH
        trash.mkdir(exist_ok=True)
        kept = trash / f"{path.stem}-{time.time_ns()}{path.suffix}"
        path.rename(kept)
        return kept

    def _find(self, name: str) -> Path:
        wanted = file_of(self._folder, name, _ENDINGS[0], "character")
        for ending in _ENDINGS:
            path = wanted.with_name(name + ending)
            if path.is_file():
                return path
        there = ", ".join(self.names()) or "none yet"
        raise CharacterError(f"There is no character named {name!r}. The characters are: {there}. Choose one of them.")
