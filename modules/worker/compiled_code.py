"""Keeps the code that engines compile while they run, for later starts of their workers."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def compiled_folder() -> Path:
    """Return the folder of the environment that a worker may write compiled code into. It need not exist."""
    return Path(sys.prefix, "compiled")


def keep_compiled(folder: Path, **variables: str) -> None:
    """Let engines keep what they compile below `folder`: environment variable -> folder in it.

    torch's own, TORCHINDUCTOR_CACHE_DIR, is always among them. By default torch uses the temporary folder, which ends
    with the worker. The user's variables are respected.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
    if os.access(folder, os.W_OK):
        for variable, name in {"TORCHINDUCTOR_CACHE_DIR": "inductor", **variables}.items():
            os.environ.setdefault(variable, str(folder / name))
