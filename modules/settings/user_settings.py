"""What the user set on the page, kept in YAML beside their data: session defaults, and loader settings per model."""

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
    """A mapping in one YAML file. Thread-safe; each change is written whole or not at all.

    A file that is no YAML mapping is an error at start, never overwritten: somebody wrote it. What they wrote keeps its
    order; comments are lost with the first change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values = _read(path)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        with self._lock:
            return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value; None forgets the key. Nothing is written when nothing changes."""
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Keep several values at once; None forgets a key."""
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
        """A copy of all."""
        with self._lock:
            return dict(self._values)


# The loader that an entry names ("": it holds for any), and its settings (None: it has none of its own).
_Entry = tuple[str, "dict[str, Any] | None"]
_WORDS = {"loader", "settings", "adapters"}


class ModelSettings:
    """Loader settings per model: {model name or pattern: {"loader": name, "settings": {...}}}, see docs/models.md; a
    model's own entry may have its LoRA adapters besides: {"adapters": {name: weight}}.

    The model's own entry counts first, then patterns (`*Q4_K_M*`) in the order of the file. An entry without a
    loader holds for every loader; one that has neither "loader" nor "settings" is settings alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store = YamlStore(path)

    def loader(self, model: str) -> str:
        """The loader kept for this model, "" if none is. Raises PaddockError for an entry that makes no sense."""
        return next((loader for loader, _ in [*self._own(model), *self._patterns(model)] if loader), "")

    def settings(self, model: str, loader: str) -> dict[str, Any]:
        """The settings kept for this model with this loader. Those of an entry that names no loader may have others'
        among them. Raises PaddockError."""
        return _matching([*self._own(model), *self._patterns(model)], loader)

    def set(self, model: str, loader: str, settings: DataclassInstance) -> None:
        """Save the loader and the settings (an instance of its schema) of a model.

        Settings that equal those of a pattern are not saved: a later change of the pattern then applies to the model.
        """
        entry: dict[str, Any] = {"loader": loader}
        if settings != _build(type(settings), _matching(self._patterns(model), loader)):
            entry["settings"] = changed_values(settings)
        if chosen := self.adapters(model):
            entry["adapters"] = chosen
        self._store.set(model, entry)

    def adapters(self, model: str) -> dict[str, float]:
        """The LoRA adapters kept for this model, name -> weight. Raises PaddockError."""
        entry = self._store.get(model)
        chosen = entry.get("adapters") or {} if isinstance(entry, dict) else {}
        if not isinstance(chosen, dict) or any(type(weight) not in (int, float) for weight in chosen.values()):
            raise self._senseless(model)
        return {str(name): float(weight) for name, weight in chosen.items()}

    def set_adapters(self, model: str, adapters: Mapping[str, float]) -> None:
        """Keep what is applied to this model; nothing forgets it."""
        entry = self._store.get(model) or {}
        # An entry of settings alone says so from now on, or the adapters would be one of them.
        entry = entry if not entry or _WORDS & entry.keys() else {"settings": entry}
        rest = {key: value for key, value in entry.items() if key != "adapters"}
        self._store.set(model, {**rest, "adapters": dict(adapters)} if adapters else rest or None)

    def _own(self, model: str) -> list[_Entry]:
        entry = self._store.get(model)
        return [] if entry is None else [self._read(model, entry)]

    def _patterns(self, model: str) -> list[_Entry]:
        found = self._store.items().items()
        return [self._read(key, entry) for key, entry in found if key != model and fnmatch.fnmatch(model, str(key))]

    def _read(self, key: str, entry: Any) -> _Entry:
        if not isinstance(entry, dict):
            raise self._senseless(key)
        if not _WORDS & entry.keys():
            return "", dict(entry)
        loader, settings = entry.get("loader") or "", entry.get("settings")
        if not isinstance(loader, str) or not isinstance(settings, dict | None) or entry.keys() - _WORDS:
            raise self._senseless(key)
        return loader, settings

    def _senseless(self, key: str) -> PaddockError:
        return PaddockError(
            f"The entry {key!r} in {self._path.name} in the user data folder makes no sense. Write it as "
            "'{loader: NAME, settings: {NAME: VALUE}}', or remove it."
        )


def _matching(entries: list[_Entry], loader: str) -> dict[str, Any]:
    return dict(next((values for name, values in entries if values is not None and name in ("", loader)), {}))


def _build(schema: type[DataclassInstance], values: Mapping[str, Any]) -> DataclassInstance | None:
    """Return the settings that a pattern's values mean to a loader, or None if one of them is wrong."""
    known = {entry.name for entry in describe(schema)}
    try:
        return build(schema, {name: value for name, value in values.items() if name in known})
    except SettingError:
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path, limits=STORE_LIMITS)
    except FileNotFoundError:
        return {}
    except DataFileError as error:
        raise PaddockError(
            f"{path.name} in the user data folder cannot be read: {error.why}. Correct it, or move it away to begin "
            "with the defaults."
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise PaddockError(
            f"{path.name} in the user data folder is not a list of `key: value` lines. Mend it or move it away."
        )
    return values
