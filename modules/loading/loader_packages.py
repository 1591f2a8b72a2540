"""Loaders that installed Python packages bring: entry points of the group `paddock.loaders`.

An entry point names the loader's folder as a dotted path whose last part is the loader's name, for example
`babble = "paddock_babble.babble"`. Only the package's metadata is read here; none of its code is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from modules.system.package_folders import package_folders

GROUP = "paddock.loaders"


class PackageLoaders(NamedTuple):
    """The loaders of installed packages.

    `folders`: name -> folder with a spec.py. `packages`: name -> the package's name. `faults`: name -> sentence, for
    entry points that name no loader.
    """

    folders: dict[str, Path]
    packages: dict[str, str]
    faults: dict[str, str]


def find_package_loaders() -> PackageLoaders:
    """Return the loaders of all packages that this Python can import. Their code does not run."""
    found = PackageLoaders({}, {}, {})
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package = str(point.dist.name) if point.dist is not None else "unknown"
        about = f"The entry point {point.name} = {point.value!r} of the package {package}"
        *_, last = point.value.split(".")
        if point.name in found.folders:
            found.faults[point.name] = f"{about} has the name of a loader of {found.packages[point.name]}"
        elif point.name != last or not all(part.isidentifier() for part in point.value.split(".")):
            found.faults[point.name] = f"{about} must be a dotted path to a folder with the name of the loader"
        elif folder := next((path for path in _places(point) if (path / "spec.py").is_file()), None):
            found.folders[point.name] = folder
            found.packages[point.name] = package
        else:
            found.faults[point.name] = f"{about} names no folder with a spec.py"
    return found


def _places(point: EntryPoint) -> Iterable[Path]:
    """Yield where the folder of an entry point may be: beside the package's metadata, or in an editable install."""
    if point.dist is not None:
        yield Path(str(point.dist.locate_file(point.value.replace(".", "/")))).resolve()
    for folder in package_folders(point.value):
        yield folder.resolve()
