"""What the host names for a worker's sandbox: the model's files, wherever links lead, and nothing of the user's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

# As modules/worker/sandbox.py reads it. PADDOCK_SANDBOX=off, set by the user, starts workers without.
SANDBOX = "PADDOCK_SANDBOX"
_OFF = ("off", "0", "no", "false")
_MOST_LINKS = 2_000
_DEPTH = 3


def sandbox_variables(model: Path, read: Sequence[Path], write: Sequence[Path]) -> dict[str, str]:
    """The variable that tells a worker what it may read and write besides the system; none where the user switched
    sandboxes off. `read`: folders that hold models, adapters and extensions, whose links are followed."""
    if os.environ.get(SANDBOX, "").lower() in _OFF:
        return {}
    # Shards and a projector lie beside a file.
    # What is made later could not be named any more: an extension may be installed while a model is loaded.
    for folder in (*read, *write):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    own = [model, model.parent] if model.is_file() else [model]
    named = [*own, *read]
    reached = [path for folder in named for path in (folder.resolve(), *_linked(folder))]
    values = {"read": _texts([*named, *reached]), "write": _texts(write)}
    return {SANDBOX: json.dumps(values)}


def _linked(folder: Path) -> list[Path]:
    """Where the links in `folder` lead, in a few levels of folders. The owner of the folder made them."""
    found: list[Path] = []
    root = len(folder.parts)
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            if path.is_symlink() and len(found) < _MOST_LINKS:
                found.append(path.resolve())
        if len(Path(place).parts) - root >= _DEPTH:
            folders.clear()
    return found


def _texts(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(str(path) for path in paths))


def make_card_devices() -> None:
    """Make the device file that CUDA's own library would make at its first use, by a program with more rights than a
    worker may take."""
    program = shutil.which("nvidia-modprobe")
    if program and Path("/dev/nvidiactl").exists() and not Path("/dev/nvidia-uvm").exists():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([program, "-c", "0", "-u"], stdin=subprocess.DEVNULL, timeout=20, check=False)
