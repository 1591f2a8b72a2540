"""Lowers the priority of a process that works beside a chat."""

from __future__ import annotations

import contextlib
import sys

import psutil

# Of 19 at most. Beside a thread of the usual priority, one like this gets a tenth of a core.
_NICENESS = 10


def lower_priority(pid: int) -> None:
    """Let other processes go first where they want the same processor. Call it before the process starts threads,
    which take over its priority."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        elif process.nice() < _NICENESS:
            process.nice(_NICENESS)
