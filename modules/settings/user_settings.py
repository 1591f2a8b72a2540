"""User settings in YAML files: session defaults, and loader settings per model."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.files.data_files import STORE_LIMITS, DataFileError, fix_surrogates, read_yaml, to_yaml
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.schema import build, changed_values, describe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class YamlStore:
    """A mapping in one YAML file. Thread-safe. Each change is written completely or not at all.

    A file that is not a YAML mapping raises an error at start and is never overwritten, because a person may have
    written it. Keys keep their order; comments are lost at the first change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values = _read(path)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or `default`."""
        with self._lock:
            return self._values.get(key, default)

    def set(self, key: str, value: object) -> None:
        """Save a value; None removes the key. The file is written only if something changes."""
        self.update({key: value})

    def update(self, values: Mapping[str, object]) -> None:
        """Save several values in one step; None removes a key."""
        with self._lock:
            fresh = {
                key: value
                for key, value in {**self._values, **fix_surrogates(dict(values))}.items()
                if value is not None
            }
            if fresh == self._values:
                return
            write_atomically(self._path, to_yaml(fresh))
            self._values = fresh

    def items(self) -> dict[str, Any]:
        """Return a copy of all values."""
        with self._lock:
            return dict(self._values)


# The loader of an entry ("": any loader), and its settings (None: it has none).
_Entry = tuple[str, "dict[str, Any] | None"]
_ENTRY_KEYS = {"loader", "settings", "adapters"}
# A setting of loaders that names another model.
_DRAFTS = "draft_model"


class ModelSettings:
    """Loader settings per model: {model name or pattern: {"loader": name, "settings": {...}}}, see docs/models.md.

    A model's own entry may also have its LoRA adapters: {"adapters": {name: weight}}. The model's own entry comes
    first, then patterns (`*Q4_K_M*`) in the order of the file. An entry without a loader applies to every loader. An
    entry with neither "loader" nor "settings" contains only settings.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store = YamlStore(path)

    def loader(self, model: str) -> str:
        """Return the loader saved for this model, or "". Raise PaddockError for an invalid entry."""
        return next((loader for loader, _ in [*self._own(model), *self._patterns(model)] if loader), "")

    def settings(self, model: str, loader: str) -> dict[str, object]:
        """Return the settings saved for this model with this loader.

        An entry without a loader may contain settings of other loaders. Raises PaddockError for an invalid entry.
        """
        return _matching([*self._own(model), *self._patterns(model)], loader)

    def set(self, model: str, loader: str, settings: DataclassInstance) -> None:
        """Save the loader and the settings (an instance of its schema) of a model.

        Settings that equal those of a pattern are not saved: a later change of the pattern then applies to the model.
        """
        entry: dict[str, object] = {"loader": loader}
        if settings != _build(type(settings), _matching(self._patterns(model), loader)):
            entry["settings"] = changed_values(settings)
        if chosen := self.adapters(model):
            entry["adapters"] = chosen
        self._store.set(model, entry)

    def adapters(self, model: str) -> dict[str, float]:
        """Return the LoRA adapters saved for this model, name -> weight. Raise PaddockError for an invalid entry."""
        entry = self._store.get(model)
        chosen = entry.get("adapters") or {} if isinstance(entry, dict) else {}
        if not isinstance(chosen, dict) or any(type(weight) not in (int, float) for weight in chosen.values()):
            raise self._invalid(model)
        return {str(name): float(weight) for name, weight in chosen.items()}

    def set_adapters(self, model: str, adapters: Mapping[str, float]) -> None:
        """Save the adapters of this model; an empty mapping removes them."""
        entry = self._store.get(model) or {}
        # Move an entry of settings only below "settings", so that "adapters" is not taken for a setting.
        entry = entry if not entry or _ENTRY_KEYS & entry.keys() else {"settings": entry}
        rest = {key: value for key, value in entry.items() if key != "adapters"}
        self._store.set(model, {**rest, "adapters": dict(adapters)} if adapters else rest or None)

    def rename(self, old: str, new: str) -> None:
        """Move what is saved for a model to its new name. An adapter, or a model that drafts, is renamed where other
        models name it."""
        entries = {key: _renamed(entry, old, new) for key, entry in self._store.items().items()}
        self._store.update({**entries, old: None, new: entries.get(old)})

    def _own(self, model: str) -> list[_Entry]:
        entry = self._store.get(model)
        return [] if entry is None else [self._read(model, entry)]

    def _patterns(self, model: str) -> list[_Entry]:
        found = self._store.items().items()
        return [self._read(key, entry) for key, entry in found if key != model and fnmatch.fnmatch(model, str(key))]

    def _read(self, key: str, entry: object) -> _Entry:
        if not isinstance(entry, dict):
            raise self._invalid(key)
        if not _ENTRY_KEYS & entry.keys():
            return "", dict(entry)
        loader, settings = entry.get("loader") or "", entry.get("settings")
        if not isinstance(loader, str) or not isinstance(settings, dict | None) or entry.keys() - _ENTRY_KEYS:
            raise self._invalid(key)
        return loader, settings

    def _invalid(self, key: str) -> PaddockError:
        return PaddockError(
            f"The entry {key!r} in {self._path.name} in the user data folder is invalid. Write it as "
            "'{loader: NAME, settings: {NAME: VALUE}}', or remove it."
        )


def _matching(entries: list[_Entry], loader: str) -> dict[str, object]:
    return dict(next((values for name, values in entries if values is not None and name in ("", loader)), {}))


def _renamed(entry: object, old: str, new: str) -> object:
    """Return a model's entry with `new` where it names the adapter or the drafting model `old`."""
    if not isinstance(entry, dict):
        return entry
    if isinstance(chosen := entry.get("adapters"), dict) and old in chosen:
        entry = {**entry, "adapters": {new if name == old else name: weight for name, weight in chosen.items()}}
    if isinstance(settings := entry.get("settings"), dict) and settings.get(_DRAFTS) == old:
        entry = {**entry, "settings": {**settings, _DRAFTS: new}}
    return entry


def _build(schema: type[DataclassInstance], values: Mapping[str, object]) -> DataclassInstance | None:
    """Return the settings that a pattern's values mean to a loader, or None if one of them is wrong."""
    known = {entry.name for entry in describe(schema)}
    try:
        return build(schema, {name: value for name, value in values.items() if name in known})
    except SettingError:
        return None


def _read(path: Path) -> dict[str, object]:
    try:
        values = read_yaml(path, limits=STORE_LIMITS)
    except FileNotFoundError:
        return {}
    except DataFileError as error:
        raise PaddockError(
            f"{path.name} in the user data folder cannot be read: {error.why}. Correct it, or move it away to start "
            "with the defaults."
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise PaddockError(
            f"{path.name} in the user data folder is not a list of `key: value` lines. Correct it, or move it away."
        )
    return values
