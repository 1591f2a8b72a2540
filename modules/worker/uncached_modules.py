"""The modules whose bytecode a confined worker could not keep: it may not write where they lie, so it names them."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

# In the worker's temporary folder, one path a line. modules/runtime/bytecode_cache.py reads it.
UNCACHED_LIST = "uncompiled.txt"


def record_uncached_modules() -> None:
    """Write the names of the environment's modules that were compiled for this worker alone."""
    found = []
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        source, kept = getattr(spec, "origin", None), getattr(spec, "cached", None)
        if isinstance(source, str) and isinstance(kept, str) and source.startswith(sys.prefix):
            with contextlib.suppress(OSError):
                if source.endswith(".py") and not Path(kept).exists():
                    found.append(source)
    with contextlib.suppress(OSError):
        Path(tempfile.gettempdir(), UNCACHED_LIST).write_text("\n".join(found), encoding="utf-8")
