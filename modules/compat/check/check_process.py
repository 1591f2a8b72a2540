"""Runs each check in a separate process, which is ended afterwards with everything that it started."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from modules.system.child_environment import worker_environment

_PROBE = "modules.compat.check.probe"


def run_in_process(task: Mapping[str, object]) -> dict[str, object]:
    """Run a check in a separate process. Return `exit`, its status, or `late`, the seconds that it exceeded."""
    variables = {**worker_environment(), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = _context().Process(target=_isolated, args=(task, variables))
    process.start()
    process.join(task["seconds"])
    late = process.is_alive()
    _kill(process.pid)
    process.join()
    return {"late": task["seconds"]} if late else {"exit": process.exitcode}


def _context() -> Any:
    # On other systems a process that has imported system frameworks may not survive a fork.
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    # The server imports Gradio once, which takes seconds, and then forks a process for each check.
    context.set_forkserver_preload([_PROBE])
    return context


def _isolated(task: dict[str, Any], variables: dict[str, str]) -> None:
    """In the process: run with its own session and environment, without terminal, and exit at once at the end."""
    status = 1
    with contextlib.suppress(BaseException):
        if os.name != "nt":
            os.setsid()
        os.chdir(task["root"])
        sys.path.insert(0, task["root"])
        sys.dont_write_bytecode = True
        os.environ.clear()
        os.environ.update(variables)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        from modules.compat.check import probe

        probe.main(task)
        status = 0
    # Threads that the extension started must not delay the end.
    os._exit(status)


def _kill(pid: int | None) -> None:
    """End a check's process, and the processes that it started."""
    if pid is None or os.name == "nt":
        return
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)
