"""Where xllamacpp keeps llama.cpp: its extension module exports nearly all of llama.cpp's C functions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from modules.protocol.errors import EnvironmentBroken


def library_path() -> str:
    """Return the path of the shared library. Raises EnvironmentBroken where the package has none."""
    spec = importlib.util.find_spec("xllamacpp")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for folder in folders for path in sorted(Path(folder).glob("xllamacpp.*")) if path.suffix != ".py"]
    if not found:
        raise EnvironmentBroken(
            "xllamacpp's library was not found. Rebuild its environment: {program} install xllamacpp --rebuild"
        )
    return str(found[0])
