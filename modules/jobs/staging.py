"""Where a model lies until it is whole: models/.job-NAME/, which the library does not list.

The result gets its name in models/ by one rename, after it was loaded once. Anything before never looks like a model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout

from modules.files.paths import safe_file_path
from modules.files.staging_locks import locked_folder, remove_unlocked
from modules.jobs.job_spec import JobError

_PREFIX = ".job-"


@contextlib.contextmanager
def staging_folder(models: Path, name: str) -> Iterator[Path]:
    """Make an empty folder for the model that will be called `name`; remove what is left of it at the end.

    Raises JobError where another job makes a model of that name, PathError for a name that cannot be a file's.
    """
    safe_file_path(models, name, "", "model")
    folder = models / f"{_PREFIX}{name}"
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(locked_folder(folder))
        except Timeout:
            raise JobError(
                f"Another job makes a model named {name} now. Wait for it, or choose another --name."
            ) from None
        folder.mkdir()
        yield folder


def result_name(models: Path, name: str, default: str, ending: str = "") -> str:
    """Return the result's file name in models/: `name`, or the first free one of default, default-2, …, with `ending`.

    Raises JobError if `name` is taken, PathError if it cannot be a file's name.
    """
    if name:
        plain = name.removesuffix(ending)
        safe_file_path(models, plain, ending, "model")
        if (models / f"{plain}{ending}").exists():
            raise JobError(f"There is a model named {plain}{ending} already. Choose another --name.")
        return f"{plain}{ending}"
    plain, number = default, 1
    while (models / f"{plain}{ending}").exists():
        number += 1
        plain = f"{default}-{number}"
    return f"{plain}{ending}"


def publish(staged: Path, target: Path) -> None:
    """Give the staged model its place in models/, by one rename, once all of it is on the disk.

    Raises JobError where something has that name by now, or where the disk refuses the bytes.
    """
    if target.exists():
        raise JobError(f"{target.name} is in models/ by now. Choose another --name and run the job again.")
    try:
        # The engines leave what they wrote to the system. A power cut after the rename could take it.
        for file in [staged, *staged.rglob("*")]:
            if file.is_file() and not file.is_symlink():
                # Windows syncs only what is open for writing; elsewhere a file may be read-only.
                with file.open("r+b" if os.name == "nt" else "rb") as written:
                    os.fsync(written.fileno())
        staged.rename(target)
    except OSError as error:
        raise JobError(
            f"{target.name} could not be written into models/ ({error.strerror}). Free some disk space or check the "
            "folder's permissions, then run the job again.",
            detail=str(error),
        ) from error


def remove_leftovers(models: Path) -> list[str]:
    """Remove staging folders that no living process works on; return their names."""
    return remove_unlocked(models, _PREFIX)
