"""The folder of an unfinished download: models/.download-NAME/, which the library does not search.

`parts` has unfinished files by checksum, `whole` the finished ones, order.json the request. This module does not import
the hub's library, so the page can list unfinished downloads quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from modules.files.data_files import STORE_LIMITS, DataFileError, read_json
from modules.files.paths import safe_join, write_atomically
from modules.protocol.errors import PaddockError

_PREFIX = ".download-"
_ORDER = "order.json"


class DownloadError(PaddockError):
    """A download that cannot start or continue. What has arrived is kept for the next attempt."""

    code = "download"


@dataclass(frozen=True)
class DownloadRecord:
    """The request of a download.

    `wanted` is owner/name[:revision], `files` are paths there. `single`: it is one GGUF file without a folder. `size`:
    bytes of all files.
    """

    wanted: str
    files: tuple[str, ...]
    single: bool
    size: int

    def save(self, staging: Path) -> None:
        """Write the record into the staging folder."""
        write_atomically(staging / _ORDER, json.dumps(asdict(self), indent=1))


def read_record(staging: Path) -> DownloadRecord | None:
    """Return the record of an earlier run; None if there is none or it cannot be read."""
    try:
        order = read_json(staging / _ORDER, limits=STORE_LIMITS)
        return DownloadRecord(
            str(order["wanted"]), tuple(map(str, order["files"])), order["single"] is True, int(order["size"])
        )
    except (OSError, DataFileError, ValueError, KeyError, TypeError):
        return None


def staging_folder(models: Path, name: str) -> Path:
    """Return the staging folder of the model `name`. Raises PathError for a name that leads out of models/."""
    safe_join(models, name)
    return safe_join(models, f"{_PREFIX}{name}")


def unfinished_downloads(models: Path) -> list[str]:
    """Return the names of models with a staging folder, sorted."""
    return sorted(path.name[len(_PREFIX) :] for path in models.glob(f"{_PREFIX}*") if path.is_dir())


def downloaded_bytes(staging: Path) -> int:
    """Return the bytes in the staging folder. Files that another process is moving may be missed."""
    total = 0
    for path in staging.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


@contextmanager
def lock_staging(staging: Path) -> Iterator[None]:
    """Lock the download while the block runs. Raises DownloadError if another process holds the lock."""
    try:
        with FileLock(staging / "lock", timeout=0):
            yield
    except Timeout:
        name = staging.name.removeprefix(_PREFIX)
        raise DownloadError(f"{name} is being downloaded by another run of Paddock. Wait until it has ended.") from None
