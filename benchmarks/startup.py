"""From the start of the process to the first page served, against a bare Gradio page."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.report import Figure, median
from benchmarks.server import ROOT

ROUNDS = 5
_BARE = (
    "import gradio as gr\n"
    "with gr.Blocks() as page: gr.Textbox()\n"
    "page.launch(server_port={port}, quiet=True, prevent_thread_lock=False)"
)


def run() -> Iterator[Figure]:
    """Measure the seconds to the page, and the ratio to a bare Gradio page with one text box."""
    bare, ours = [], []
    for _ in range(ROUNDS):
        port = _free_port()
        bare.append(_until_served([sys.executable, "-c", _BARE.format(port=port)], port))
        port = _free_port()
        with tempfile.TemporaryDirectory() as data:
            command = [sys.executable, "webui.py", "--no-venv", "--port", str(port), "--user-data", data]
            ours.append(_until_served(command, port))
    yield Figure("startup", "bare Gradio", median(bare), "s")
    yield Figure("startup", "page, demo model loading", median(ours), "s", median(ours) / median(bare))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_served(command: list[str], port: int) -> float:
    begin = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment()
    ) as process:
        try:
            while process.poll() is None:
                try:
                    with urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                        page.read()
                        return time.perf_counter() - begin
                except (URLError, OSError):
                    time.sleep(0.01)
        finally:
            process.terminate()
    raise RuntimeError(f"{Path(command[1]).name} ended before it served a page")


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
