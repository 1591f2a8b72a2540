"""modules.utils: lists of names, and small functions."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from modules.compat.facade.base import FacadeModule
from modules.files.paths import write_atomically

_TEXT = (".yaml", ".yml", ".json", ".txt", ".gbnf")


class Utils(FacadeModule):
    """Files may be written and deleted only in the user's data and in extensions' folders."""

    def gradio(self, *keys: object) -> list[Any]:
        """Return the page's components of these names, given one by one or as one list."""
        names = keys[0] if len(keys) == 1 and isinstance(keys[0], (list, tuple)) else keys
        return [self._facade.widgets[name] for name in names]

    def get_available_models(self) -> list[str]:
        """Return the names of models."""
        return self._app.library.names()

    def get_available_presets(self) -> list[str]:
        """Return the names of presets."""
        return self._app.presets.names()

    def get_available_characters(self) -> list[str]:
        """Return the names of characters."""
        return self._app.characters.names()

    def get_available_extensions(self) -> list[str]:
        """Return the names of extensions on disk."""
        return list(self._app.extensions.available())

    def get_available_loras(self) -> list[str]:
        """Return the names of adapters, "None" first."""
        return ["None", *(adapter.name for adapter in self._app.library.adapters())]

    def get_available_instruction_templates(self) -> list[str]:
        """Return the files in the user's instruction-templates/, "None" first."""
        return ["None", *self._names("instruction-templates", ".yaml")]

    def get_available_prompts(self) -> list[str]:
        """Return the files in the user's prompts/."""
        return self._names("prompts", ".txt")

    def get_available_grammars(self) -> list[str]:
        """Return the files in the user's grammars/, "None" first."""
        return ["None", *self._names("grammars", ".gbnf")]

    def get_datasets(self, path: str, ext: str) -> list[str]:
        """Return the files of a folder with that suffix, without the suffix, "None" first."""
        return ["None", *sorted((file.stem for file in Path(path).glob(f"*.{ext}")), key=self.natural_keys)]

    def check_model_loaded(self) -> tuple[bool, str | None]:
        """Return (True if a model is loaded, a sentence if not)."""
        if self._app.supervisor.state.phase == "ready":
            return True, None
        return False, "No model is loaded. Choose one on the Model tab and press Load."

    def sanitize_filename(self, name: str) -> str:
        """Return the last part of a path, without leading dots."""
        return Path(name).name.lstrip(".")

    def _is_path_allowed(self, abs_path_str: str) -> bool:
        """Return True if a path is in the user's data, or in an extension's folder."""
        path = Path(abs_path_str).resolve()
        folders = (self._app.paths.user_data, *self._app.paths.extensions)
        return any(path.is_relative_to(folder.resolve()) for folder in folders)

    def save_file(self, fname: str, contents: str) -> None:
        """Write a text file atomically if that is allowed. Otherwise log the reason."""
        path = Path(fname).resolve()
        if not fname or not self._is_path_allowed(str(path)) or path.suffix.lower() not in _TEXT:
            self._log(f"{fname!r} was not saved: scripts may write text files below the user's data only.")
            return
        write_atomically(path, contents)

    def delete_file(self, fname: str) -> None:
        """Delete a file if that is allowed. Otherwise log the reason."""
        path = Path(fname).resolve()
        if not fname or not self._is_path_allowed(str(path)):
            self._log(f"{fname!r} was not deleted: scripts may delete files below the user's data only.")
            return
        path.unlink(missing_ok=True)

    def current_time(self) -> str:
        """Return the time as a part of a file name."""
        return time.strftime("%Y-%m-%d_%Hh%Mm%Ss")

    def atoi(self, text: str) -> int | str:
        """Return digits as a number, other text in lower case."""
        return int(text) if text.isdigit() else text.lower()

    def natural_keys(self, text: str) -> list[int | str]:
        """Return a key that sorts a2 before a10."""
        return [self.atoi(part) for part in re.split(r"(\d+)", text)]

    def _names(self, folder: str, ending: str) -> list[str]:
        """Return the files with that suffix in a folder of the user's data, without the suffix."""
        place = self._app.paths.user_data / folder
        names = [entry.stem for entry in place.iterdir() if entry.suffix == ending] if place.is_dir() else []
        return sorted((name for name in names if name[0] != "."), key=self.natural_keys)

    def _log(self, sentence: str) -> None:
        self._facade.module("modules.shared").logger.error(sentence)
