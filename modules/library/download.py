"""Download models from the hub into models/. A model appears only when it is complete and checked.

What arrives lies in models/.download-NAME/ (see download_staging.py); finished files are listed in done.json. Once all
are there, `whole` is renamed to models/NAME.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from modules.files.data_files import STORE_LIMITS, DataFileError, read_json
from modules.files.paths import safe_join, write_atomically
from modules.library.download_choice import FileSelection
from modules.library.download_listing import RemoteFile, RepositoryListing
from modules.library.download_staging import (
    DownloadError,
    DownloadRecord,
    downloaded_bytes,
    lock_staging,
    staging_folder,
)
from modules.library.download_transfer import Transfer
from modules.library.sizes import format_size

# Seconds over which the speed is measured: maximum and minimum.
_SPEED_SECONDS = 10.0
_FIRST_SPEED_SECONDS = 0.5


@dataclass(frozen=True)
class DownloadProgress:
    """Progress: the current file and its number, bytes of all files, bytes per second (0: unknown)."""

    file: str
    number: int
    files: int
    done: int
    total: int
    speed: float

    @property
    def seconds_left(self) -> float | None:
        """The seconds left at this speed; None while it is unknown."""
        return (self.total - self.done) / self.speed if self.speed else None

    def __str__(self) -> str:
        """Return the progress as text: "1.2 GB of 4.1 GB, 12.3 MB/s, 3 min 56 s left"."""
        words = f"{format_size(self.done)} of {format_size(self.total)}"
        if self.seconds_left is None:
            return words
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        left = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        return f"{words}, {format_size(self.speed)}/s, {left} left"


class Download:
    """Downloads one model into `models`. After a failure `run` may be called again, and continues where it ended.

    `staging` is the folder of the unfinished download. It can be deleted to give up the download.
    """

    def __init__(
        self,
        models: Path,
        listing: RepositoryListing,
        choice: FileSelection,
        report: Callable[[DownloadProgress], None] = lambda progress: None,
        clock: Callable[[], float] = time.monotonic,
        pause_seconds: float = 1.0,
    ) -> None:
        self._target = safe_join(models, choice.name)
        self.staging = staging_folder(models, choice.name)
        self._listing = listing
        self._choice = choice
        self._report = report
        self._clock = clock
        self._stop = threading.Event()
        self._transfer = Transfer(listing, self._arrived, self._stop, pause_seconds)
        self._number, self._done = 0, 0
        self._marks: deque[tuple[float, int]] = deque()

    def stop(self) -> None:
        """Stop the download soon, from any thread. `run` then raises DownloadStopped."""
        self._stop.set()

    def run(self) -> Path:
        """Download all files and return the model's path. Raises DownloadError without changing models/."""
        self._refuse_what_exists()
        try:
            self.staging.mkdir(parents=True, exist_ok=True)
            with lock_staging(self.staging):
                self._refuse_what_exists()
                self._refuse_a_full_disk()
                self._keep_order()
                for number, file in enumerate(self._choice.files, 1):
                    self._number = number
                    self._get(file)
                self._move()
            shutil.rmtree(self.staging, ignore_errors=True)
        except OSError as error:
            raise DownloadError(
                f"{self._choice.name} could not be written to {self._target.parent} ({error.strerror or error}). "
                "Check free disk space and permissions, then start it again to continue from here.",
                detail=str(error),
            ) from error
        return self._target

    def _refuse_what_exists(self) -> None:
        if self._target.exists() or self._target.is_symlink():
            raise DownloadError(
                f"models/ already has {self._choice.name}, which was not changed. To download it again, rename or move "
                "away what is there, then start it again."
            )

    def _refuse_a_full_disk(self) -> None:
        needed, free = self._choice.size - downloaded_bytes(self.staging), shutil.disk_usage(self.staging).free
        if needed > free:
            raise DownloadError(
                f"{self._choice.name} needs {format_size(needed)} more on the disk, and {format_size(free)} are free. "
                "Free some space, choose a smaller quantization, or put --models on a larger disk."
            )

    def _keep_order(self) -> None:
        choice, paths = self._choice, tuple(file.path for file in self._choice.files)
        DownloadRecord(str(self._listing.wanted), paths, choice.single, choice.size).save(self.staging)

    def _get(self, file: RemoteFile) -> None:
        whole = safe_join(self.staging / "whole", self._choice.place(file))
        done = self._finished()
        mark = file.checksum or self._listing.commit
        if done.get(file.path) == mark and whole.is_file() and whole.stat().st_size == file.size:
            self._arrived(file.size, False)
            return
        whole.parent.mkdir(parents=True, exist_ok=True)
        key = file.checksum or sha256(f"{self._listing.commit}/{file.path}".encode()).hexdigest()
        part = self.staging / "parts" / key
        part.parent.mkdir(exist_ok=True)
        self._transfer.fetch(file, part)
        part.replace(whole)
        write_atomically(self.staging / "done.json", json.dumps({**done, file.path: mark}, indent=1))

    def _finished(self) -> dict[str, str]:
        """Return the complete files with their checksums. A damaged list only causes a second download."""
        try:
            done = read_json(self.staging / "done.json", limits=STORE_LIMITS)
        except (OSError, DataFileError):
            return {}
        return done if isinstance(done, dict) else {}

    def _move(self) -> None:
        whole = self.staging / "whole"
        wanted = {whole.joinpath(*PurePosixPath(self._choice.place(file)).parts) for file in self._choice.files}
        for path in [path for path in whole.rglob("*") if path.is_file() and path not in wanted]:
            path.unlink()  # of an earlier attempt, with another choice of files
        source = next(iter(wanted)) if self._choice.single else whole
        self._refuse_what_exists()
        source.rename(self._target)

    def _arrived(self, count: int, fresh: bool) -> None:
        self._done += count
        now = self._clock()
        if not fresh:
            self._marks.clear()  # no byte of these came over the line now
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _SPEED_SECONDS:
            self._marks.popleft()
        (begin, first), (end, last) = self._marks[0], self._marks[-1]
        speed = (last - first) / (end - begin) if end - begin >= _FIRST_SPEED_SECONDS else 0.0
        choice, file = self._choice, self._choice.files[self._number - 1]
        self._report(DownloadProgress(file.path, self._number, len(choice.files), self._done, choice.size, speed))
