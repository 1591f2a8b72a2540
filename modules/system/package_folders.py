"""Find the folders of an installed package without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path


def package_folders(package: str) -> Iterator[Path]:
    """Yield where the folder of `package`, a dotted path, may be. Nothing of it is imported.

    Only the package of the top level is looked up; what is inside it is found by the names of folders. Yield nothing
    for a path that cannot be a package.
    """
    top, *inner = package.split(".")
    if not all(part.isidentifier() for part in (top, *inner)):
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place, *inner)
