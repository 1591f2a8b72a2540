"""Ends all that a process started, whichever group it is in."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil


def kill_process_tree(leader: int) -> None:
    """Kill the processes of the session that the process `leader` began, itself included. Not on Windows.

    The leader must not have been waited for yet: its number may be another's then. Its group alone would not do, as
    ninja gives each compiler one of its own.
    """
    killed: set[int] = set()
    # What is started meanwhile is found the next time.
    while fresh := {pid for pid in psutil.pids() if _session(pid) == leader} - killed:
        for pid in sorted(fresh):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= fresh


def _session(pid: int) -> int:
    """The session that the process belongs to; 0 where it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0
