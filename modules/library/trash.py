"""Discarded models: user_data/trash/ID/ with the model's files and trash.json, from where they can be restored."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from modules.files.data_files import STORE_LIMITS, DataFileError, read_json
from modules.files.paths import PathError, safe_join, write_atomically
from modules.library.model_paths import model_paths
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError

_RECORD = "trash.json"
_FILES = "files"


class ModelTrash:
    """Moves models from the models folder into `folder` and back."""

    def __init__(self, folder: Path, models: Path, library: ModelLibrary) -> None:
        self._folder = folder
        self._models = models
        self._library = library

    def discard(self, name: str) -> str:
        """Move a model into the trash; return the id with which it is restored. Raises ModelError."""
        sources = model_paths(self._library, self._models, name)
        parent = sources[0].parent
        id = str(time.time_ns())
        target = self._folder / id / _FILES
        try:
            target.mkdir(parents=True)
            below = parent.relative_to(self._models).as_posix()
            write_atomically(self._folder / id / _RECORD, json.dumps({"name": name, "folder": below}))
            for source in sources:
                shutil.move(source, target / source.name)
        except OSError as error:
            self._move_back(target, parent)
            raise ModelError(
                f"{name} could not be moved to the trash ({error.strerror}). Free disk space, or delete it yourself."
            ) from error
        return id

    def restore(self, id: str) -> str:
        """Move a model back to where it was; return its name. Raises ModelError."""
        try:
            folder = safe_join(self._folder, id)
            record = read_json(folder / _RECORD, limits=STORE_LIMITS)
            parent = safe_join(self._models, record["folder"]) if record["folder"] != "." else self._models
            name = str(record["name"])
            files = sorted((folder / _FILES).iterdir())
        except (OSError, DataFileError, PathError, KeyError, TypeError) as error:
            raise ModelError("This model is no longer in the trash. Make it again, or download it.") from error
        if taken := [file.name for file in files if (parent / file.name).exists()]:
            raise ModelError(f"{taken[0]} is in the models folder by now. Rename that one, then restore this one.")
        self._move_back(folder / _FILES, parent)
        shutil.rmtree(folder, ignore_errors=True)
        return name

    def names(self) -> list[dict[str, str]]:
        """Return the models in the trash, the newest first, each as {"id", "name"}."""
        found = []
        for record in sorted(self._folder.glob(f"*/{_RECORD}"), reverse=True):
            try:
                found.append({"id": record.parent.name, "name": str(read_json(record, limits=STORE_LIMITS)["name"])})
            except (OSError, DataFileError, KeyError, TypeError):
                continue
        return found

    @staticmethod
    def _move_back(source: Path, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            shutil.move(file, parent / file.name)
