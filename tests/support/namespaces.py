"""Two network namespaces with a cable between them: two machines, as far as a network is concerned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.213.77"
SECONDS = 600.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Namespace:
    """One of them: its name, and its address."""

    name: str
    address: str

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs a command in it."""
        return ["ip", "netns", "exec", self.name, *words]


def why_no_namespaces() -> str:
    """Return why this process may make no network namespaces, as a sentence; "" if it may."""
    try:
        with two_namespaces() as (first, second):
            subprocess.run(first.command("true"), check=True, capture_output=True)
            subprocess.run(second.command("true"), check=True, capture_output=True)
    except FileNotFoundError:
        return "The program ip is missing. Install iproute2 for tests with two network namespaces."
    except subprocess.CalledProcessError as error:
        return f"Network namespaces are not permitted here ({error.stderr.decode(errors='replace').strip()})."
    return ""


@contextmanager
def two_namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    """Make them, and remove them at the end. Raises CalledProcessError, or FileNotFoundError."""
    names = [f"paddock-{os.getpid()}-{number}" for number in (1, 2)]
    both = tuple(Namespace(name, f"{NETWORK}.{number}") for number, name in enumerate(names, 1))
    made = []
    try:
        for one in both:
            _ip("netns", "add", one.name)
            made.append(one)
            _ip("-n", one.name, "link", "set", "lo", "up")
        first, second = both
        _ip("-n", first.name, "link", "add", "cable0", "type", "veth", "peer", "name", "cable0", "netns", second.name)
        for one in both:
            _ip("-n", one.name, "address", "add", f"{one.address}/24", "dev", "cable0")
            _ip("-n", one.name, "link", "set", "cable0", "up")
        yield first, second
    finally:
        for one in made:
            _ip("netns", "delete", one.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Process:
    """A Python program in a namespace, in a process group of its own. Its output is read line by line."""

    def __init__(self, place: Namespace, *words: str, python: str = sys.executable, **variables: str) -> None:
        self.process = subprocess.Popen(
            place.command(python, *words),
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.strip())
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, words: str) -> None:
        """Wait until a line has these words."""
        with self._more:
            self._more.wait_for(lambda: self._has(words) or self._ended, SECONDS)
            assert self._has(words), self.lines

    def _has(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def output(self) -> str:
        """Wait for the end, and return all output."""
        self._reader.join(SECONDS)
        assert self._ended
        return "\n".join(self.lines)

    def kill(self) -> None:
        """Kill its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
