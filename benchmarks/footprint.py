"""From a fresh clone to the demo model's first token: seconds, and bytes written, including downloads and caches."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.report import Figure
from benchmarks.server import ROOT, running
from modules.runtime.environment_files import folder_bytes

MEGABYTE = 1024 * 1024


def run() -> Iterator[Figure]:
    """Measure install seconds and megabytes, those of the host's environment, and its resident memory while serving."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "paddock")], check=True)
        caches = {"PIP_CACHE_DIR": str(folder / "pip"), "UV_CACHE_DIR": str(folder / "uv")}
        with subprocess.Popen(
            [_bare_python(), "webui.py", "generate", "--prompt", "What is GGUF?"],
            cwd=folder / "paddock",
            env={**_without_venv(), **caches},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            # uv and the bootstrap print to stdout too; the answer is the last line.
            lines = process.stdout.read().decode().strip().splitlines()
            if process.wait() != 0 or not lines:
                raise RuntimeError("the fresh clone did not answer")
        seconds = time.perf_counter() - begin
        yield Figure("footprint", "clone to answer", seconds, "s")
        yield Figure("footprint", "written, with caches", folder_bytes(folder) / MEGABYTE, "MB")
        yield Figure("footprint", "host's .venv", folder_bytes(folder / "paddock" / ".venv") / MEGABYTE, "MB")
    with running() as server:
        host = psutil.Process(server.pid)
        yield Figure("footprint", "host's resident memory", host.memory_info().rss / MEGABYTE, "MB")


def _bare_python() -> str:
    return str(Path(getattr(sys, "_base_executable", sys.executable)))


def _without_venv() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
