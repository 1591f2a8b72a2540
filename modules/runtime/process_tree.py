"""Kills a process and all processes that it started, in any process group."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil


def kill_process_tree(leader: int) -> None:
    """Kill all processes of the session that the process `leader` started, and the leader. Not for Windows.

    Call it before the leader is waited for: afterwards its number may belong to another process. Killing its process
    group is not enough, because ninja starts each compiler in a separate group.
    """
    killed: set[int] = set()
    # Processes that start during a pass are found in the next one.
    while fresh := {pid for pid in psutil.pids() if _session(pid) == leader} - killed:
        for pid in sorted(fresh):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= fresh


def _session(pid: int) -> int:
    """Return the session id of the process, or 0 if it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0
