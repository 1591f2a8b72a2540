"""The lock under which an environment is made: by one process at a time, and a step that did not end is known."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_SECONDS = 0.5


class SetupLock:
    """A locked file. Its text is the step that runs, or that a start before this one did not end.

    `interrupted_step`: that earlier step, "" if there is none.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        os.lseek(file, 0, os.SEEK_SET)
        self.interrupted_step = os.read(file, 100).decode(errors="replace")

    @property
    def inherited(self) -> tuple[int, ...]:
        """What a child process gets passed, so that the lock holds until it has ended, too."""
        return () if sys.platform == "win32" else (self._file,)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note the step while the block runs, and after it where an exception ends it: installers that fail, on a full
        disk say, leave packages that only look whole."""
        self._note(name)
        yield
        self._note("")

    def _note(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, text.encode())


@contextmanager
def setup_lock(path: Path, waiting: Callable[[], None], look: Callable[[], None] = lambda: None) -> Iterator[SetupLock]:
    """Hold the lock at `path`. Where another has it, `waiting` is called once, and `look` before each new try: what it
    raises ends the waiting. Raises OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(file):
            waiting()
            while not _take(file):
                look()
                time.sleep(_LOOK_SECONDS)
        yield SetupLock(file)
    finally:
        os.close(file)


def _take(file: int) -> bool:
    """Whether the lock is ours now; it goes with the last process that has the file open."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte far behind the text, which others could not read otherwise.
            os.lseek(file, 1 << 20, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
