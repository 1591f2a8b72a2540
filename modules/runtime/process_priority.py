"""Lowers the priority of a process that works beside a chat."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil

# Of 19 at most. Of a processor that a chat wants too, the process gets a quarter.
_NICENESS = 5


def lower_priority(pid: int) -> None:
    """Let other processes go first where they want the same processor.

    Call it before the process starts threads, which take over its priority. Linux may share processors among sessions
    first (sched_autogroup, man 7 sched); the process leads a session, whose priority is then what counts.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICENESS), encoding="ascii")
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        elif process.nice() < _NICENESS:
            process.nice(_NICENESS)
