"""The paths that a worker's sandbox may read and write: the model's files, and what links there lead to.

They reach the worker in a file in memory: a kernel starts no program with a variable of more than 128 KiB, and a models
folder may hold thousands of links.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

# Read by modules/worker/sandbox.py. With PADDOCK_SANDBOX=off, set by the user, workers run without a sandbox.
SANDBOX = "PADDOCK_SANDBOX"
_OFF = ("off", "0", "no", "false")
_MAX_LINKS = 2_000
_MAX_DEPTH = 3


def sandbox_variables(model: Path, read: Sequence[Path], write: Sequence[Path]) -> dict[str, str]:
    """Return the variable, as JSON, with what a worker may read and write besides the system. See `in_memory_file`.

    Return {} if the user switched sandboxes off. `read`: folders of models, adapters and extensions, whose links are
    followed.
    """
    if os.environ.get(SANDBOX, "").lower() in _OFF:
        return {}
    # A sandbox cannot name folders that do not exist, and an extension may be installed while a model is loaded.
    for folder in (*read, *write):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    # Shards and a projector are next to a model's file.
    own = [model, model.parent] if model.is_file() else [model]
    named = [*own, *read]
    reached = [path for folder in named for path in (folder.resolve(), *_linked(folder))]
    values = {"read": _texts([*named, *reached]), "write": _texts(write)}
    return {SANDBOX: json.dumps(values)}


@contextlib.contextmanager
def in_memory_file(variables: Mapping[str, str]) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Put the paths of `sandbox_variables` into a file in memory, and its descriptor into the variable instead.

    Yield the variables, and the descriptors to pass to the worker: none without a sandbox.
    """
    others = {name: value for name, value in variables.items() if name != SANDBOX}
    text = variables.get(SANDBOX, "")
    if not text or not hasattr(os, "memfd_create"):
        yield others, ()
        return
    with os.fdopen(os.memfd_create("paddock-sandbox"), "w+", encoding="utf-8") as file:
        file.write(text)
        # The worker shares the position in the file.
        file.seek(0)
        yield {**others, SANDBOX: str(file.fileno())}, (file.fileno(),)


def _linked(folder: Path) -> list[Path]:
    """Return the targets of the links in `folder`, a few levels deep. The folder's owner made these links."""
    found: list[Path] = []
    root = len(folder.parts)
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            if path.is_symlink() and len(found) < _MAX_LINKS:
                # Before Python 3.13, Path.resolve raises an error for links in a circle.
                found.append(Path(os.path.realpath(path)))
        if len(Path(place).parts) - root >= _MAX_DEPTH:
            folders.clear()
    return found


def _texts(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(str(path) for path in paths))


def make_card_devices() -> None:
    """Create the device file that the CUDA library would create at its first use.

    It does so with a setuid program, which a worker in its sandbox may not run.
    """
    program = shutil.which("nvidia-modprobe")
    if program and Path("/dev/nvidiactl").exists() and not Path("/dev/nvidia-uvm").exists():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([program, "-c", "0", "-u"], stdin=subprocess.DEVNULL, timeout=20, check=False)
