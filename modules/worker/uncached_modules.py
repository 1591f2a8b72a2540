"""Lists modules whose bytecode a sandboxed worker could not store, because it must not write to their folder."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

# In the worker's temporary folder, one path per line. modules/runtime/bytecode_cache.py reads it.
UNCACHED_LIST = "uncompiled.txt"


def record_uncached_modules() -> None:
    """Write the paths of the environment's modules whose bytecode is not stored."""
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
