"""The notebooks of a person: the first one in notebook.txt, further ones by name in notebooks/."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from modules.files.paths import free_path, safe_file_path, write_atomically
from modules.files.printable_name import printable_name
from modules.protocol.errors import PaddockError
from modules.ui.notebook import Notebook

if TYPE_CHECKING:
    from modules.app import App

# The first notebook has no name in requests, so that it is there from the start and always stays.
FIRST = ""
_ENDING = ".txt"
_LONGEST_NAME = 100


class Notebooks:
    """Opens each notebook once. Thread-safe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._folder = app.paths.notebook.with_name("notebooks")
        self._lock = threading.RLock()
        self._open = {FIRST: Notebook(app)}

    def names(self) -> list[str]:
        """Return the names of the notebooks beside the first one, sorted case-insensitively."""
        found = self._folder.glob(f"*{_ENDING}") if self._folder.is_dir() else ()
        return sorted((printable_name(path.stem) for path in found if path.name[0] != "."), key=str.casefold)

    def get(self, name: str) -> Notebook:
        """Return a notebook. Raise PaddockError if there is none of that name."""
        with self._lock:
            if (known := self._open.get(name)) is not None:
                return known
            path = self._path(name)
            if not path.is_file():
                raise PaddockError(f"There is no notebook named {name[:_LONGEST_NAME]}. Choose another one.")
            made = self._open[name] = Notebook(self._app, path)
            return made

    def create(self, name: str) -> str:
        """Make an empty notebook; return its name, which has a number if the wanted one is taken."""
        with self._lock:
            path = free_path(self._path(name.strip() or "Notebook"), " ")
            self._write(path, "")
            return path.stem

    def rename(self, name: str, to: str) -> str:
        """Rename a notebook; return its new name. Raise PaddockError if that is taken, or the model writes in it."""
        with self._lock:
            source, target = self._idle(name), self._path(to.strip())
            if target == source:
                return name
            # A file system may not tell upper from lower case.
            if target.exists() and not target.samefile(source):
                raise PaddockError(f"There is a notebook named {target.stem} already. Choose another name.")
            source.rename(target)
            self._open.pop(name, None)
            return target.stem

    def discard(self, name: str) -> None:
        """Move a notebook into the trash. Raise PaddockError while the model writes in it."""
        with self._lock:
            source = self._idle(name)
            self._trash.mkdir(parents=True, exist_ok=True)
            # An older text of that name makes room for this one under a name with a number.
            if self._trashed(name).exists():
                self._trashed(name).rename(free_path(self._trashed(name), " "))
            shutil.move(source, self._trashed(name))
            self._open.pop(name, None)

    def restore(self, name: str) -> str:
        """Move the notebook that was discarded last under this name back; return its name now."""
        with self._lock:
            path = free_path(self._path(name), " ")
            try:
                shutil.move(self._trashed(name), path)
            except OSError as error:
                raise PaddockError(f"The notebook {name} is not in the trash any more.") from error
            return path.stem

    @property
    def _trash(self) -> Path:
        return self._folder / ".trash"

    def _trashed(self, name: str) -> Path:
        return safe_file_path(self._trash, name, _ENDING, "notebook")

    def _idle(self, name: str) -> Path:
        if name == FIRST:
            raise PaddockError("The first notebook cannot be renamed or deleted. Clear its text, or make another one.")
        if self.get(name).generation:
            raise PaddockError("The model is writing in this notebook. Press Stop first.")
        return self._path(name)

    def _path(self, name: str) -> Path:
        if len(name) > _LONGEST_NAME:
            raise PaddockError(f"The name of a notebook has at most {_LONGEST_NAME} characters. Shorten it.")
        return safe_file_path(self._folder, name, _ENDING, "notebook")

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
