"""Runs each check in a throw-away process: forked from one that is warm, or started where that cannot be."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from modules.system.child_environment import worker_environment

_PROBE = "modules.compat.check.probe"
_SERVER = "modules.compat.check.fork_server"


class Checkers:
    """For checks one after another. `root`: Paddock's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Checkers:
        return self

    def __exit__(self, *about: object) -> None:
        self._end_server()

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """How the process of a check ended: `exit` (its status), or `late` (the seconds that it exceeded)."""
        # Elsewhere a process that has imported frameworks of the system may not survive a fork.
        return self._forked(task) if sys.platform == "linux" else self._started(task)

    def _forked(self, task: dict[str, Any]) -> dict[str, Any]:
        if self._server is None:
            self._server = self._start([_SERVER], subprocess.PIPE)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            self._server.stdin.write(json.dumps(task) + "\n")
            self._server.stdin.flush()
            answer = json.loads(self._server.stdout.readline())
            return dict(answer)
        # What was checked ended it, or it did not start: the next check has another.
        self._end_server()
        return {}

    def _started(self, task: dict[str, Any]) -> dict[str, Any]:
        process = self._start([_PROBE, json.dumps(task)], subprocess.DEVNULL)
        try:
            return {"exit": process.wait(task["seconds"])}
        except subprocess.TimeoutExpired:
            return {"late": task["seconds"]}
        finally:
            process.kill()
            process.wait()

    def _start(self, command: list[str], streams: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self._root,
            stdin=streams,
            stdout=streams,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**worker_environment(), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def _end_server(self) -> None:
        if self._server is None:
            return
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._server.kill()
        self._server.wait()
        self._server = None
