"""Runs Paddock in a separate process, with a client that streams from it at little cost."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Bytes per read.
_MOST = 1 << 16


@dataclass(frozen=True)
class Running:
    """A running server: its port and its process number."""

    port: int
    pid: int

    def post(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        """Send JSON by POST. Return the response, to be read as it streams."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the parts of a streamed answer."""
        response = self.post(path, {**body, "stream": True})
        if response.status != 200:
            raise RuntimeError(response.read().decode())
        rest = b""
        # Read all available bytes at once: reading lines costs http.client more time on the cores that the engine uses.
        while part := response.read1(_MOST):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])


@contextlib.contextmanager
def running(
    *flags: str, models: Path | None = None, user_data: Path | None = None, root: Path = ROOT
) -> Iterator[Running]:
    """Start Paddock with `flags` on a free port. Yield it once it, and its model unless --no-model, is ready.

    `root`: the checkout that runs.
    """
    with contextlib.ExitStack() as stack:
        data = user_data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = ["--user-data", str(data), *(["--models", str(models)] if models else [])]
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "webui.py", "--no-venv", "--port", "0", *where, *flags],
                cwd=root,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        stack.callback(process.terminate)
        port, loaded = 0, "--no-model" in flags
        assert process.stdout is not None
        for line in process.stdout:
            loaded = loaded or line.startswith("Loaded ")
            if "http://" in line:
                port = int(line.rsplit(":", 1)[1].strip(" /\n"))
            if port and loaded:
                break
        else:
            raise RuntimeError("Paddock ended before it was ready. Start it by hand to see why.")
        yield Running(port, process.pid)


def seconds(begin: float) -> float:
    """Return the seconds since `begin` (time.perf_counter)."""
    return time.perf_counter() - begin
