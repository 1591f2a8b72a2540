"""`python3 -m tests.first_starts [COUNT]`: start Paddock from nothing, send it a chat request, stop it; five times.

Each start uses a copy of the checkout without `.venv`, `.envs` and `user_data`. It must answer within a minute, exit
with status 0 after SIGTERM, and leave no process behind. This program needs the standard library only, because it runs
before anything is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60.0
END_SECONDS = 30.0
_NOT_COPIED = (
    ".git",
    ".venv",
    ".venv.lock",
    ".envs",
    ".test-models",
    "user_data",
    "__pycache__",
    "node_modules",
    ".*_cache",
)
_QUESTION = {"messages": [{"role": "user", "content": "What is Paddock?"}], "max_tokens": 20}


class FirstStart:
    """One start of Paddock in `folder`. A variable in its environment marks every process that it starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin = time.monotonic()
        self.lines: list[str] = []
        self._address = ""
        self._ready = threading.Event()
        environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        self.process = subprocess.Popen(
            [getattr(sys, "_base_executable", sys.executable), "webui.py", "--port", "0"],
            cwd=folder,
            env={**environment, "PADDOCK_FIRST_START": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(r"Paddock is ready: (http://\S+)", line):
                self._address = found[1]
                self._ready.set()
        self._ready.set()

    def answer(self) -> float:
        """Send requests until one is answered, and return the seconds since the start.

        Raise AssertionError after a minute.
        """
        assert self._ready.wait(ANSWER_SECONDS) and self._address, "It did not start to serve within a minute."
        data, error_text = json.dumps(_QUESTION).encode(), "no request was sent"
        while (passed := time.monotonic() - self._begin) < ANSWER_SECONDS:
            try:
                request = urllib.request.Request(f"{self._address}/v1/chat/completions", data)
                with urllib.request.urlopen(request, timeout=ANSWER_SECONDS - passed) as response:
                    text = json.load(response)["choices"][0]["message"]["content"]
                assert text.strip(), "The answer is empty."
                return time.monotonic() - self._begin
            except urllib.error.HTTPError as error:
                error_text = error.read().decode(errors="replace")
                # The model is still loading. Try again, unless Paddock ends.
                self._expect_running(0.2)
        raise AssertionError(f"No answer within {ANSWER_SECONDS:.0f} seconds: {error_text}")

    def _expect_running(self, seconds: float) -> None:
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"It ended with status {status} before it answered.")

    def stop(self) -> None:
        """Send SIGTERM and wait for the exit. Raise AssertionError if the exit is wrong or a process is left."""
        self.process.terminate()
        status = self.process.wait(END_SECONDS)
        self._reader.join(END_SECONDS)
        assert status == 0, f"It exited with status {status}."
        assert not self.left_running(), f"Still running: {self.left_running()}"
        assert not any("Traceback" in line for line in self.lines), "It printed a traceback."

    def left_running(self) -> list[str]:
        """Return the command lines of processes that it started and that still run (Linux)."""
        mark, found = f"PADDOCK_FIRST_START={self._folder}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
        return found

    def kill(self) -> None:
        """Kill it and its process group if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Return the `names` in `folder` that are not part of the checkout, such as models that a user added."""
    found = set(shutil.ignore_patterns(*_NOT_COPIED)(folder, names))
    return found | {name for name in names if Path(folder) == ROOT / "models" and not name.startswith("demo")}


def main(count: int) -> int:
    """Start Paddock `count` times, and return the exit status."""
    for number in range(1, count + 1):
        with tempfile.TemporaryDirectory(prefix="paddock-first-start-") as place:
            folder = Path(place) / "paddock"
            shutil.copytree(ROOT, folder, symlinks=True, ignore=_not_copied)
            start = FirstStart(folder)
            try:
                seconds = start.answer()
                start.stop()
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                print(f"First start {number} of {count} failed. {error}", *start.lines, sep="\n")
                return 1
            finally:
                start.kill()
        print(f"First start {number} of {count}: the first answer came after {seconds:.0f} s.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
