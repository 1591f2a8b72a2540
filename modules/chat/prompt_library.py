"""The user's library of prompts: texts with a name, which the composer completes after a slash."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.protocol.errors import PaddockError
from modules.settings.user_settings import YamlStore

_NAME = re.compile(r"[\w-]{1,60}")
_LONGEST_TEXT = 50_000
_MOST = 500


@dataclass(frozen=True)
class SavedPrompt:
    """A prompt of the library. {{name}} in its text stands for a value that the page asks for."""

    name: str
    text: str


class PromptLibrary:
    """The prompts in one YAML file: names with texts. Thread-safe."""

    def __init__(self, store: YamlStore) -> None:
        self._store = store

    def all(self) -> list[SavedPrompt]:
        """Return the prompts, sorted by name. What a person wrote into the file in another form is left out."""
        found = [SavedPrompt(str(name), text) for name, text in self._store.items().items() if isinstance(text, str)]
        return sorted(found, key=lambda prompt: prompt.name.casefold())

    def save(self, name: str, text: str) -> SavedPrompt:
        """Add a prompt, or replace the one of this name. Raises PaddockError."""
        name = name.strip().lstrip("/")
        if not _NAME.fullmatch(name):
            raise PaddockError("The name of a prompt has letters, digits, - and _ only, up to 60. Change the name.")
        if not text.strip():
            raise PaddockError("A prompt needs a text. Write one first.")
        if len(text) > _LONGEST_TEXT:
            raise PaddockError(f"A prompt has at most {_LONGEST_TEXT:,} characters. Shorten it, or attach a file.")
        names = self._store.items()
        if name not in names and len(names) >= _MOST:
            raise PaddockError(f"The library has {_MOST} prompts already. Delete some first.")
        self._store.set(name, text)
        return SavedPrompt(name, text)

    def delete(self, name: str) -> None:
        """Remove a prompt. Safe where there is none."""
        self._store.set(name, None)
