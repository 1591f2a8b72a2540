"""Presets: YAML files with the values that differ from neutral. The user's own are in user_data/presets/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modules.files.data_files import DataFileError, parse_yaml, read_bytes, to_yaml
from modules.files.paths import safe_file_path, write_atomically
from modules.files.printable_name import printable_name
from modules.generation.preset_keys import read_keys, within
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import TEXT_PARSERS
from modules.protocol.schema import build, changed_values

_ENDING = ".yaml"
# Used until the user chooses one. It has low randomness, because small models write nonsense with more.
DEFAULT_PRESET = "Precise"


class Presets:
    """Presets by name. A user's preset hides a shipped one of the same name until it is deleted."""

    def __init__(self, shipped: Path, own: Path) -> None:
        self._shipped = shipped
        self._own = own

    def names(self) -> list[str]:
        """Return the names of all presets, sorted case-insensitively."""
        found = {path.stem for folder in (self._shipped, self._own) if folder.is_dir() for path in _files(folder)}
        return sorted(map(printable_name, found), key=str.casefold)

    def is_own(self, name: str) -> bool:
        """Return True if the user saved a preset of this name."""
        return safe_file_path(self._own, name, _ENDING, "preset").is_file()

    def load(self, name: str) -> SamplingParams:
        """Return the preset's parameters. Those that it does not contain are neutral.

        Raises SettingError, which names the file and the key, or PaddockError if there is no such preset.
        """
        return self.merge(name, {})

    def merge(self, name: str, overrides: Mapping[str, object]) -> SamplingParams:
        """Return the preset's parameters with `overrides` applied. An empty name means neutral.

        Raises SettingError or PromptError for an invalid value.
        """
        values = self._read(name)[0] if name else {}
        params = build(SamplingParams, {**values, **{key: within(key, value) for key, value in overrides.items()}})
        for read in TEXT_PARSERS.values():
            read(params)
        return params

    def summary(self, name: str) -> str:
        """Return the preset's purpose: the comment in its first line, or ""."""
        first = self._raw(name)[0].decode("utf-8-sig", "replace").lstrip().partition("\n")[0]
        return first.lstrip("# ").strip() if first.startswith("#") else ""

    def warnings(self, name: str) -> list[str]:
        """Return sentences about keys of the file that have no effect."""
        return self._read(name)[1]

    def save(self, name: str, params: SamplingParams) -> None:
        """Write a user's preset completely or not at all. A shipped preset of the same name is not changed."""
        path = safe_file_path(self._own, name, _ENDING, "preset")
        write_atomically(path, to_yaml(changed_values(params)))

    def delete(self, name: str) -> None:
        """Delete a user's preset. Raise PaddockError for a shipped or unknown one."""
        if not self.is_own(name):
            if safe_file_path(self._shipped, name, _ENDING, "preset").is_file():
                raise PaddockError(
                    f"{name} ships with Paddock and cannot be deleted. Save your own under this or another name."
                )
            raise self._missing(name)
        safe_file_path(self._own, name, _ENDING, "preset").unlink()

    def _find(self, name: str) -> Path:
        for folder in (self._own, self._shipped):
            path = safe_file_path(folder, name, _ENDING, "preset")
            if path.is_file():
                return path
        raise self._missing(name)

    def _missing(self, name: str) -> SettingError:
        return SettingError(f"There is no preset named {name!r}. The presets are: {', '.join(self.names()) or 'none'}.")

    def _raw(self, name: str) -> tuple[bytes, str]:
        """Return (the file's content, its name)."""
        path = self._find(name)
        try:
            return read_bytes(path), path.name
        except FileNotFoundError:
            raise self._missing(name) from None
        except DataFileError as error:
            raise _unreadable(error) from error

    def _read(self, name: str) -> tuple[dict[str, object], list[str]]:
        """Return the file's values by SamplingParams name and type, and warnings."""
        raw, file = self._raw(name)
        try:
            values, texts = (parse_yaml(raw, file, as_text=as_text) or {} for as_text in (False, True))
        except DataFileError as error:
            raise _unreadable(error) from error
        if not isinstance(values, dict) or not isinstance(texts, dict):
            raise SettingError(f"The preset {file} needs lines such as 'temperature: 0.7'. Correct it in an editor.")
        # In a list, yes and 007 are texts.
        return read_keys({key: texts[key] if isinstance(texts[key], list) else values[key] for key in values}, file)


def _unreadable(error: DataFileError) -> SettingError:
    return SettingError(f"The preset {error.name} cannot be read: {error.why}. Correct or delete it.")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == _ENDING and not path.name.startswith(".")]
