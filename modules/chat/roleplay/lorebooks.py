"""The lorebooks in user_data/lorebooks: one JSON file each, in the form of character cards V3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modules.chat.character_file import CARD_LIMITS
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.file_names import free_name
from modules.chat.roleplay.lore_entry import Lorebook, read_book
from modules.chat.roleplay.lorebook_import import SPEC, as_sillytavern, read_lorebook, read_lorebook_value
from modules.files.data_files import DataFileError, fix_surrogates, read_json
from modules.files.paths import safe_file_path, write_atomically
from modules.files.printable_name import printable_name
from modules.protocol.errors import PaddockError

_ENDING = ".json"
_TRASH = ".trash"
# In `extensions` of a book: whether chats use it that do not name it.
_OWN, _EVERYWHERE = "paddock", "everywhere"


class Lorebooks:
    """The lorebooks of one account. Parsed ones are kept while their files stay the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[str, tuple[tuple[int, int], Lorebook, bool]] = {}

    def names(self) -> list[str]:
        """Return the names in the folder now, sorted without regard to case."""
        if not self._folder.is_dir():
            return []
        files = (path for path in self._folder.iterdir() if path.suffix == _ENDING and path.name[0] != ".")
        return sorted((printable_name(path.stem) for path in files), key=str.casefold)

    def load(self, name: str) -> dict[str, Any]:
        """Return a lorebook's value, in the form of cards V3. Raises CardError or PathError."""
        path = self._path(name)
        try:
            value = read_json(path, limits=CARD_LIMITS)
        except FileNotFoundError:
            raise CardError(f"There is no lorebook named {name!r}. Remove it from this chat's lorebooks.") from None
        except DataFileError as error:
            raise CardError(f"The lorebook {name} cannot be read: {error.why}. Correct {path.name} by hand.") from error
        return read_lorebook_value(value, path.name)[0]

    def chosen(self, names: Iterable[str]) -> tuple[list[Lorebook], list[str]]:
        """Return these lorebooks and those that are used everywhere, and sentences about those that cannot be read."""
        found, problems = [], []
        wanted = dict.fromkeys(names)
        for name in dict.fromkeys((*wanted, *self.names())):
            try:
                book, everywhere = self._read(name)
            except PaddockError as error:
                # A file that was put there may have a name that none can have here.
                if name in wanted:
                    problems.append(error.message)
                continue
            if name in wanted or everywhere:
                found.append(book)
        return found, problems

    def is_everywhere(self, name: str) -> bool:
        """Return True if all chats use this lorebook. Raises CardError."""
        return self._read(name)[1]

    def size(self, name: str) -> int:
        """Return how many entries a lorebook has. Raises CardError."""
        return len(self._read(name)[0].entries)

    def save(self, name: str, value: Mapping[str, Any], everywhere: bool | None = None) -> str:
        """Write a lorebook; without a `name`, a new one. Return its name. `everywhere`: None leaves it as it is."""
        title = value.get("name")
        name = name or free_name(title if isinstance(title, str) else "", "Lorebook", self.names(), self._path)
        book = dict(value)
        if everywhere is not None:
            more = book.get("extensions")
            more = dict(more) if isinstance(more, Mapping) else {}
            own = {key: item for key, item in dict(more.get(_OWN) or {}).items() if key != _EVERYWHERE}
            more[_OWN] = {**own, **({_EVERYWHERE: True} if everywhere else {})}
            book["extensions"] = more if more[_OWN] else {key: item for key, item in more.items() if key != _OWN}
        whole = fix_surrogates({"spec": SPEC, "data": book})
        write_atomically(self._path(name), json.dumps(whole, ensure_ascii=False, indent=2))
        return name

    def import_file(self, raw: bytes, file: str) -> tuple[str, tuple[str, ...]]:
        """Store a lorebook of any program under a free name. Return (name, sentences about what was left out)."""
        value, notes = read_lorebook(raw, file)
        title = value.get("name")
        wanted = title if isinstance(title, str) and title.strip() else Path(file).stem
        return self.save(free_name(wanted, "Lorebook", self.names(), self._path), value), notes

    def export(self, name: str, form: str) -> bytes:
        """Return a lorebook as a JSON file: `v3`, or `sillytavern`."""
        book = self.load(name)
        value = as_sillytavern(book) if form == "sillytavern" else {"spec": SPEC, "data": book}
        return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace")

    def delete(self, name: str) -> None:
        """Move a lorebook to the folder's trash."""
        path = self._path(name)
        trash = self._folder / _TRASH
        trash.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.rename(trash / f"{name}-{time.time_ns()}{_ENDING}")

    def _read(self, name: str) -> tuple[Lorebook, bool]:
        try:
            facts = self._path(name).stat()
            stamp = facts.st_size, facts.st_mtime_ns
        except OSError:
            stamp = (-1, 0)
        known = self._parsed.get(name)
        if known is None or known[0] != stamp:
            value = self.load(name)
            more = value.get("extensions")
            own = more.get(_OWN) if isinstance(more, Mapping) else None
            everywhere = isinstance(own, Mapping) and own.get(_EVERYWHERE) is True
            known = self._parsed[name] = (stamp, read_book(value, name), everywhere)
        return known[1], known[2]

    def _path(self, name: str) -> Path:
        return safe_file_path(self._folder, name, _ENDING, "lorebook")
