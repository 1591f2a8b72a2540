"""The connection with one MCP server, through a process that holds the client."""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from modules.plugins.tools.mcp_file import ServerConfig
from modules.plugins.tools.tool import ToolCancelled, ToolError
from modules.system.child_environment import worker_environment
from modules.system.threads import host_thread
from modules.system.version import VERSION

_ROOT = Path(__file__).resolve().parents[3]
# Isolated mode: packages of the working directory or of the user cannot shadow these modules.
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from modules.plugins.tools.mcp_process import serve; serve()"
# The longest line that the process may send: a list of tools or a result. It bounds both itself.
_LONGEST_LINE = 20_000_000
_SHOWN_LINES = 12
_TICK = 0.1

STARTING, READY, FAILED, OFF = "starting", "ready", "failed", "off"


class McpConnection:
    """Starts at once, and fails if the server does not answer within `seconds`. Thread-safe.

    `changed()` is called when its state or its tools change.

    `state`: STARTING, READY or FAILED; `problem`: the end of a sentence that says why it failed. `listed`: the tools as
    the server describes them. `settled`: it has started or failed; `was_ready`: it has worked.
    """

    def __init__(self, config: ServerConfig, changed: Callable[[], None], seconds: float) -> None:
        self.config = config
        self.state, self.problem = STARTING, ""
        self.listed: list[dict[str, Any]] = []
        self.settled = threading.Event()
        self.was_ready = False
        self._changed = changed
        self._lock = threading.Lock()
        self._numbers = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._waiting: dict[int, threading.Event] = {}
        self._printed: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
        self._closed = False
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(),
            # Ctrl+C in the terminal is for the host, which then closes the connection.
            start_new_session=True,
        )
        host_thread(f"mcp-{config.name}", self._read, "Reading from an MCP server").start()
        host_thread(f"mcp-{config.name}-errors", self._read_errors, "Reading from an MCP server").start()
        self._write({**asdict(config), "version": VERSION, "seconds": seconds})

    def call(self, name: str, arguments: Mapping[str, Any], stopped: threading.Event) -> str:
        """Return the text of a tool's result. Raises ToolError, ToolCancelled."""
        answered = threading.Event()
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._waiting[number] = answered
        self._write({"id": number, "call": name, "arguments": dict(arguments)})
        try:
            while not answered.wait(_TICK):
                if self.state == FAILED:
                    raise ToolError(f"The MCP server {self.config.name} is gone: {self.problem}.")
                if stopped.is_set():
                    self._write({"cancel": number})
                    raise ToolCancelled("The call was given up.")
            answer = self._answers.pop(number)
        finally:
            self._waiting.pop(number, None)
        if answer.get("left_out"):
            answer["text"] += f"\n[{answer['left_out']:,} more characters were left out.]"
        if answer.get("error"):
            raise ToolError(str(answer["text"]) or "The tool failed without saying why.")
        return str(answer["text"])

    @property
    def printed(self) -> str:
        """The last lines that the server printed."""
        return "\n".join(self._printed)

    def begin_close(self) -> None:
        """Let the process end, and the server with it."""
        self._closed = True
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def close(self) -> None:
        """End the process and the server."""
        self.begin_close()
        # The client ends the server in order. One that does not end is killed with all that it started.
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            _kill(self._process.pid)
            self._process.wait()

    def _write(self, values: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(values).encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        try:
            while line := out.readline(_LONGEST_LINE):
                self._take(json.loads(line))
        except (ValueError, RecursionError):
            self._fail("it sent more than a chat can hold")
        finally:
            if not self._closed:
                _kill(self._process.pid)
            self._process.wait()
            self._fail("it ended")

    def _read_errors(self) -> None:
        errors = self._process.stderr
        assert errors is not None
        while line := errors.readline(2_000):
            if text := line.decode("utf-8", "replace").strip():
                self._printed.append(text[:300])

    def _take(self, message: dict[str, Any]) -> None:
        if "tools" in message:
            self.listed = [tool for tool in message["tools"] if isinstance(tool, dict)]
            self.state, self.was_ready = READY, True
            self.settled.set()
            self._changed()
        elif "failed" in message:
            self._fail(str(message["failed"]))
        elif (answered := self._waiting.get(message["id"])) is not None:
            self._answers[message["id"]] = message
            answered.set()

    def _fail(self, why: str) -> None:
        if self.state == FAILED:
            return
        self.state, self.problem = FAILED, why.rstrip(". ")
        self.settled.set()
        self._changed()


def _kill(pid: int) -> None:
    """Kill the process and all that it started: a server runs in a separate session."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                one.kill()
