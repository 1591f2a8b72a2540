"""Locks of folders that are being filled, so that leftovers of a killed process are known from work in progress.

The lock of models/.job-NAME is the file models/.job-NAME.lock. The system releases it when its process ends, however
that happens.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".lock"


@contextlib.contextmanager
def locked_folder(folder: Path, seconds: float = 0) -> Iterator[None]:
    """Lock `folder` while the block runs, and remove it before and after. It need not exist, its parent is made.

    Raises filelock.Timeout if another process, or another thread of this one, still holds the lock after `seconds`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}{_LOCK}")
    lock.acquire(timeout=seconds)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()


def remove_unlocked(parent: Path, prefix: str) -> list[str]:
    """Remove the folders `prefix`… in `parent` that no living process works on. Return their names."""
    removed = []
    for folder in sorted(parent.glob(f"{prefix}*")):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(Timeout), locked_folder(folder):
                removed.append(folder.name)
    return removed
