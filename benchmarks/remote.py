"""Runs llama.cpp's server with the measured model, and writes the model file with which the remote loader finds it."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.model import CONTEXT, gguf_model
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry


@contextlib.contextmanager
def remote_model(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield (the model file in a new folder, the server's address) while the server runs.

    The server leaves one core free. A server on another machine would leave all of them free.
    """
    spec = Registry(root / "loaders").get("xllamacpp")
    python = Environments(root / ".envs", [root / "loaders"], inspect_machine()).python(spec)
    threads = max(1, inspect_machine().cpus - 1)
    script = root / "tests" / "support" / "llama_server.py"
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [str(python), str(script), str(gguf_model(root)), str(CONTEXT), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        file = Path(folder) / "bench.remote.yaml"
        file.write_text(f"address: {address}\n", encoding="utf-8")
        yield file, address
        process.stdin.close()
