"""Where a download lies until it is whole: models/.download-NAME/, which the library does not look into.

`parts` holds unfinished files under their checksum, `whole` the finished ones, order.json what was asked for. Nothing
here needs the hub's library, so that a page can list what an earlier run left.
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
    """A download that cannot begin or go on; what has arrived stays for the next attempt."""

    code = "download"


@dataclass(frozen=True)
class DownloadRecord:
    """What was asked for: `wanted` as owner/name[:revision], paths of files there, whether it is one GGUF file that
    needs no folder, and the bytes of all files."""

    wanted: str
    files: tuple[str, ...]
    single: bool
    size: int

    def save(self, staging: Path) -> None:
        """Write it down there."""
        write_atomically(staging / _ORDER, json.dumps(asdict(self), indent=1))


def read_record(staging: Path) -> DownloadRecord | None:
    """The order of an earlier run; None where there is none that can be read."""
    try:
        order = read_json(staging / _ORDER, limits=STORE_LIMITS)
        return DownloadRecord(
            str(order["wanted"]), tuple(map(str, order["files"])), order["single"] is True, int(order["size"])
        )
    except (OSError, DataFileError, ValueError, KeyError, TypeError):
        return None


def staging_folder(models: Path, name: str) -> Path:
    """The folder of pieces of the model `name`. Raises PathError for a name that leads out."""
    safe_join(models, name)
    return safe_join(models, f"{_PREFIX}{name}")


def unfinished_downloads(models: Path) -> list[str]:
    """The names of models of which pieces lie there, sorted."""
    return sorted(path.name[len(_PREFIX) :] for path in models.glob(f"{_PREFIX}*") if path.is_dir())


def downloaded_bytes(staging: Path) -> int:
    """Bytes that lie there; files that another run moves meanwhile may be missed."""
    total = 0
    for path in staging.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


@contextmanager
def lock_staging(staging: Path) -> Iterator[None]:
    """Hold the download while the block runs. Raises DownloadError where another run does."""
    try:
        with FileLock(staging / "lock", timeout=0):
            yield
    except Timeout:
        name = staging.name.removeprefix(_PREFIX)
        raise DownloadError(
            f"{name} is being downloaded by another run of Paddock. Wait until that has ended."
        ) from None
