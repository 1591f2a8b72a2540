"""Reads extension.yaml, the manifest of an extension. The file and each of its keys are optional."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from modules.files.data_files import DataFileError, Limits, parse_yaml, read_bytes
from modules.plugins.requirement_text import lines_of
from modules.protocol.errors import PaddockError
from modules.protocol.schema import SettingInfo, setting
from modules.system.version import VERSION

FILE = "extension.yaml"
WANTS = ("network", "files", "worker")
_KINDS: dict[str, object] = {"bool": bool, "int": int, "float": float, "str": str, "list": list[str]}
# Keys whose values are not read as text.
_TYPED = ("seconds", "settings")
_LIMITS = Limits(size=64_000, nodes=5_000, depth=16)


class ManifestError(PaddockError):
    """An extension.yaml or requirements.txt cannot be read."""

    code = "extension"


@dataclass(frozen=True)
class Manifest:
    """title: shown on the page. host: versions of Paddock that it runs on, such as ">=0.1,<1". requirements: packages,
    as for pip. settings: a dataclass of `setting(...)` fields, or None. wants: a list of "network", "files", "worker":
    what it uses, shown on the page before the first run. seconds: the time limit of each of its hooks; 0: the hook's
    default."""

    title: str = ""
    version: str = ""
    description: str = ""
    host: str = ""
    requirements: tuple[str, ...] = ()
    settings: type[object] | None = None
    wants: tuple[str, ...] = ()
    seconds: float = 0.0
    extra: dict[str, object] = field(default_factory=dict)

    def refuses_host(self, version: str = VERSION) -> str:
        """Return "" if it runs on this version of Paddock, else a sentence."""
        if not self.host or SpecifierSet(self.host).contains(version, prereleases=True):
            return ""
        return f"It needs Paddock {self.host}, and this is {version}. Install another version of the extension."


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in an extension's folder; an empty one if there is no file. Raises ManifestError."""
    path = folder / FILE
    requirements = _requirements_file(folder)
    if not path.is_file():
        return Manifest(requirements=requirements)
    try:
        raw = read_bytes(path, _LIMITS)
        values, texts = (parse_yaml(raw, FILE, as_text=as_text, limits=_LIMITS) or {} for as_text in (False, True))
    except DataFileError as error:
        raise ManifestError(f"{FILE} of {folder.name} cannot be read: {error.why}. Correct it.") from error
    if not isinstance(values, dict) or not isinstance(texts, dict):
        raise ManifestError(f"{FILE} of {folder.name} needs lines such as 'title: …'. Correct it.")
    try:
        # A version such as 1.10 is a text; settings have types.
        return _manifest({key: values[key] if key in _TYPED else texts[key] for key in values}, requirements)
    except ValueError as error:
        raise ManifestError(f"{FILE} of {folder.name}: {error}") from error


def _manifest(values: Mapping[str, object], requirements: tuple[str, ...]) -> Manifest:
    known = [entry.name for entry in dataclasses.fields(Manifest) if entry.name != "extra"]
    for name in values:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no key named {name!r}.{hint} The keys are: {', '.join(known)}.")
    wants = tuple(_texts(values, "wants"))
    if bad := [name for name in wants if name not in WANTS]:
        raise ValueError(f"wants cannot contain {bad[0]!r}. It takes: {', '.join(WANTS)}.")
    title, version, description, host = (_text(values, name) for name in ("title", "version", "description", "host"))
    try:
        SpecifierSet(host)
    except InvalidSpecifier:
        raise ValueError(f"host cannot be {host!r}. Write a range such as '>=0.1,<1'.") from None
    seconds = values.get("seconds") or 0
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds <= 600:
        raise ValueError(f"seconds cannot be {seconds!r}. It takes a number from 0 to 600.")
    return Manifest(
        title=title,
        version=version,
        description=description,
        host=host,
        requirements=tuple(_texts(values, "requirements")) or requirements,
        settings=_settings(values["settings"]) if values.get("settings") else None,
        wants=wants,
        seconds=float(seconds),
    )


def _text(values: Mapping[str, object], name: str) -> str:
    found = values.get(name) or ""
    if not isinstance(found, str):
        raise ValueError(f"{name} takes one text.")
    return found


def _texts(values: Mapping[str, object], name: str) -> list[str]:
    found = values.get(name) or []
    if isinstance(found, str):
        return [found]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError(f"{name} takes a list of texts.")
    return found


def _settings(values: object) -> type[object]:
    """Return {name: {default, label, help, minimum, …}} as a dataclass of `setting(...)` fields."""
    if not isinstance(values, dict):
        raise ValueError("settings takes lines such as 'strength: {default: 5, label: Strength}'.")
    allowed = [entry.name for entry in dataclasses.fields(SettingInfo)]
    fields: list[tuple[str, Any, Any]] = []
    for name, given in values.items():
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or not isinstance(given, dict)
            or "default" not in given
        ):
            raise ValueError(
                f"the setting {name!r} needs an identifier as its name, and at least a default and a label."
            )
        options = {"label": name.replace("_", " ").capitalize(), **given}
        default, kind = options.pop("default"), options.pop("type", None)
        if bad := [option for option in options if option not in allowed]:
            raise ValueError(
                f"the setting {name!r} has no {bad[0]!r}. It may have: default, type, {', '.join(allowed)}."
            )
        kind = kind or type(default).__name__
        if kind not in _KINDS:
            raise ValueError(f"the setting {name!r} cannot be a {kind}. It takes: {', '.join(_KINDS)}.")
        fields.append((name, _KINDS[kind], setting(default, **options)))
    try:
        return dataclasses.make_dataclass("Settings", fields, frozen=True)
    except TypeError as error:  # a name such as class
        raise ValueError(f"settings: {error}.") from None


def _requirements_file(folder: Path) -> tuple[str, ...]:
    """Return the lines of requirements.txt without comments, () if there is no file. Raises ManifestError."""
    path = folder / "requirements.txt"
    if not path.is_file():
        return ()
    try:
        return lines_of(read_bytes(path, _LIMITS))
    except DataFileError as error:
        raise ManifestError(f"requirements.txt of {folder.name} cannot be read: {error.why}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"requirements.txt of {folder.name} cannot be read as text.", detail=str(error)) from error
