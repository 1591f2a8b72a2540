"""Which knowledge there is: names and folders, in a YAML file that a person may read."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from modules.chat.knowledge.index_file import KnowledgeError
from modules.files.paths import UNREADABLE
from modules.settings.user_settings import YamlStore

MOST = 100
_LONGEST = 60
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Definition:
    """A knowledge. `folder`: of its documents; `own`: Paddock made it, and files can be added on the page."""

    id: str
    name: str
    folder: Path
    own: bool


class Definitions:
    """The knowledge of one account. Thread-safe. `files`: the folder of the folders that Paddock makes."""

    def __init__(self, store: YamlStore, files: Path) -> None:
        self._store, self._files = store, files

    def all(self) -> list[Definition]:
        """Return all knowledge by name. An entry that cannot be used is left out."""
        found = []
        for name, value in self._store.items().items():
            id = value.get("id") if isinstance(value, dict) else None
            if isinstance(id, str) and _ID.fullmatch(id):
                folder = value.get("folder") or ""
                found.append(Definition(id, str(name), Path(folder) if folder else self._files / id, not folder))
        return sorted(found, key=lambda one: one.name.casefold())

    def find(self, name: str) -> Definition:
        """Return the knowledge of this name. Raises KnowledgeError."""
        known = self.all()
        found = next((one for one in known if one.name.casefold() == name.strip().casefold()), None)
        if found is None:
            names = ", ".join(one.name for one in known) or "none yet"
            raise KnowledgeError(f"There is no knowledge named {name[:80]!r}. There is: {names}.")
        return found

    def create(self, name: str, folder: str = "") -> Definition:
        """Add a knowledge. `folder`: of its documents, "" for a new one. Raises KnowledgeError."""
        name = " ".join(UNREADABLE.sub(" ", name).split())
        if not name or len(name) > _LONGEST:
            raise KnowledgeError(f"A knowledge needs a name of at most {_LONGEST} letters.")
        known = self.all()
        if any(one.name.casefold() == name.casefold() for one in known):
            raise KnowledgeError(f"There is a knowledge named {name!r} already. Choose another name.")
        if len(known) >= MOST:
            raise KnowledgeError(f"There are {MOST} already. Remove one first.")
        id = secrets.token_hex(6)
        path = Path(folder).expanduser() if folder.strip() else self._files / id
        if folder.strip():
            if not path.is_absolute():
                raise KnowledgeError(f"{folder[:200]!r} is no full path. Write it whole, such as {Path.home()}.")
            if not path.is_dir():
                raise KnowledgeError(f"There is no folder {folder[:200]!r}. Check the path.")
        else:
            path.mkdir(parents=True, exist_ok=True)
        self._store.set(name, {"id": id, **({"folder": str(path)} if folder.strip() else {})})
        return Definition(id, name, path, not folder.strip())

    def remove(self, one: Definition) -> None:
        """Remove a knowledge from the list. Its folder stays."""
        self._store.set(one.name, None)
