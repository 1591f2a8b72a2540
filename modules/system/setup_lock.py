"""A file lock: one process at a time builds an environment, and the next one learns of an interrupted step."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_RETRY_SECONDS = 0.5


class SetupLock:
    """A locked file. It contains the name of the running step.

    `interrupted_step`: the step that an earlier process did not finish, or "".
    """

    def __init__(self, file: int) -> None:
        self._file = file
        os.lseek(file, 0, os.SEEK_SET)
        self.interrupted_step = os.read(file, 100).decode(errors="replace")

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors to pass to child processes, so that the lock is held until they have ended too."""
        return () if sys.platform == "win32" else (self._file,)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record the step while the block runs. It stays recorded if the block raises: an installer that fails, for
        example on a full disk, leaves packages that look complete but are not."""
        self._write(name)
        yield
        self._write("")

    def _write(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, text.encode())


@contextmanager
def setup_lock(
    path: Path, waiting: Callable[[], None], check: Callable[[], None] = lambda: None
) -> Iterator[SetupLock]:
    """Hold the lock at `path` during the block.

    If another process has it, `waiting` is called once, and `check` before each new try; what `check` raises ends the
    wait. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(file):
            waiting()
            while not _take(file):
                check()
                time.sleep(_RETRY_SECONDS)
        yield SetupLock(file)
    finally:
        os.close(file)


def _take(file: int) -> bool:
    """Return True if this process has locked the file. The lock ends with the last process that has the file open."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Lock a byte far behind the text: other processes could not read a locked text.
            os.lseek(file, 1 << 20, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
