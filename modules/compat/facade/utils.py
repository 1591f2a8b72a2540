"""modules.utils: names of what there is, and small helpers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from modules.compat.facade.base import FacadeModule
from modules.files.paths import write_atomically

_TEXT = (".yaml", ".yml", ".json", ".txt", ".gbnf")


class Utils(FacadeModule):
    """Files may be written and deleted in the user's data, nowhere else."""

    def gradio(self, *keys: Any) -> list[Any]:
        """The page's components of these names; one list of names will do as well."""
        names = keys[0] if len(keys) == 1 and isinstance(keys[0], (list, tuple)) else keys
        return [self._facade.widgets[name] for name in names]

    def get_available_models(self) -> list[str]:
        """Names of models."""
        return self._app.library.names()

    def get_available_presets(self) -> list[str]:
        """Names of presets."""
        return self._app.presets.names()

    def get_available_characters(self) -> list[str]:
        """Names of characters."""
        return self._app.characters.names()

    def get_available_extensions(self) -> list[str]:
        """Names of extensions on disk."""
        return list(self._app.extensions.available())

    def get_available_loras(self) -> list[str]:
        """Names of adapters, "None" first."""
        return ["None", *(adapter.name for adapter in self._app.library.adapters())]

    def get_available_instruction_templates(self) -> list[str]:
        """Files in the user's instruction-templates/, "None" first."""
        return ["None", *self._names("instruction-templates", ".yaml")]

    def get_available_prompts(self) -> list[str]:
        """Files in the user's prompts/."""
        return self._names("prompts", ".txt")

    def get_available_grammars(self) -> list[str]:
        """Files in the user's grammars/, "None" first."""
        return ["None", *self._names("grammars", ".gbnf")]

    def get_datasets(self, path: str, ext: str) -> list[str]:
        """Files of a folder with that ending, without it, "None" first."""
        return ["None", *sorted((file.stem for file in Path(path).glob(f"*.{ext}")), key=self.natural_keys)]

    def check_model_loaded(self) -> tuple[bool, str | None]:
        """(whether a model is loaded, a sentence if not)."""
        if self._app.supervisor.state.phase == "ready":
            return True, None
        return False, "No model is loaded. Choose one on the Model tab and press Load."

    def sanitize_filename(self, name: str) -> str:
        """The last part of a path, without leading dots."""
        return Path(name).name.lstrip(".")

    def _is_path_allowed(self, abs_path_str: str) -> bool:
        """Whether a path lies in the user's data, or in an extension's folder."""
        path = Path(abs_path_str).resolve()
        folders = (self._app.paths.user_data, *self._app.paths.extensions)
        return any(path.is_relative_to(folder.resolve()) for folder in folders)

    def save_file(self, fname: str, contents: str) -> None:
        """Write a text file where that is allowed, all or nothing; otherwise the log says why not."""
        path = Path(fname).resolve()
        if not fname or not self._is_path_allowed(str(path)) or path.suffix.lower() not in _TEXT:
            self._log(f"{fname!r} was not saved: scripts may write text files below the user's data only.")
            return
        write_atomically(path, contents)

    def delete_file(self, fname: str) -> None:
        """Delete a file where that is allowed; otherwise the log says why not."""
        path = Path(fname).resolve()
        if not fname or not self._is_path_allowed(str(path)):
            self._log(f"{fname!r} was not deleted: scripts may delete files below the user's data only.")
            return
        path.unlink(missing_ok=True)

    def current_time(self) -> str:
        """The time as a part of a file's name."""
        return time.strftime("%Y-%m-%d_%Hh%Mm%Ss")

    def atoi(self, text: str) -> int | str:
        """Digits as a number, anything else in lower case."""
        return int(text) if text.isdigit() else text.lower()

    def natural_keys(self, text: str) -> list[int | str]:
        """A key that sorts a2 before a10."""
        return [self.atoi(part) for part in re.split(r"(\d+)", text)]

    def _names(self, folder: str, ending: str) -> list[str]:
        """The files with that ending in a folder of the user's data, without it."""
        place = self._app.paths.user_data / folder
        names = [entry.stem for entry in place.iterdir() if entry.suffix == ending] if place.is_dir() else []
        return sorted((name for name in names if name[0] != "."), key=self.natural_keys)

    def _log(self, sentence: str) -> None:
        self._facade.module("modules.shared").logger.error(sentence)
