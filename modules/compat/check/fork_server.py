"""A process that has imported all that a check needs, and forks one for each check: importing Gradio takes seconds.

Reads tasks, one JSON object a line; answers each with a line of JSON: how the check's process ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any

from modules.compat.check import probe


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        print(json.dumps(_checked(json.loads(line))), flush=True)


def _checked(task: dict[str, Any]) -> dict[str, Any]:
    """`exit`: the status of the check's process; `late`: its seconds, where they were exceeded."""
    pid = os.fork()
    if pid == 0:
        _check(task)
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(pid)

    timer = threading.Timer(task["seconds"], end)
    timer.start()
    # It stays until what it started is ended too: its number is nobody else's before.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    timer.cancel()
    timer.join()
    _kill(pid)
    _, status = os.waitpid(pid, 0)
    return {"late": task["seconds"]} if late.is_set() else {"exit": os.waitstatus_to_exitcode(status)}


def _check(task: dict[str, Any]) -> None:
    """In the fork: do the check, and end."""
    status = 1
    with contextlib.suppress(BaseException):
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        probe.main(task)
        status = 0
    # Threads that it started do not hold up the end.
    os._exit(status)


def _kill(pid: int) -> None:
    """End a check's process with all that it started."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
