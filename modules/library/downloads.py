"""The downloads of this process, each on a thread, and unfinished downloads of earlier runs.

They run in the host, independent of the page. Stopped and interrupted downloads can be resumed.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modules.library.download_staging import (
    DownloadError,
    DownloadRecord,
    downloaded_bytes,
    lock_staging,
    read_record,
    staging_folder,
    unfinished_downloads,
)
from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError
from modules.system.threads import host_thread

if TYPE_CHECKING:
    # huggingface_hub takes most of a second to import, so it is imported only for a download.
    from modules.library.download import Download, DownloadProgress
    from modules.library.download_choice import FileSelection
    from modules.library.download_listing import RepositoryListing

# A stalled connection is noticed only at its timeout. Closing Paddock does not wait for that.
_CLOSE_SECONDS = 2.0
# Seconds between two reports of a download's progress.
_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class DownloadState:
    """One download: `name` below models/, `repository` as owner/name[:revision], `size` of all its files in bytes.

    `phase`: "running", "stopping", "stopped" (by the user, or in an earlier run), "failed" (see `error`), "done".
    `arrived`: bytes that an earlier run left. `progress` of this run; None until the first bytes arrive.
    """

    name: str
    repository: str
    size: int
    phase: Literal["running", "stopping", "stopped", "failed", "done"]
    arrived: int = 0
    progress: DownloadProgress | None = None
    error: PaddockError | None = None

    @property
    def ended(self) -> bool:
        """True if the download is not running any more."""
        return self.phase in ("stopped", "failed", "done")

    @property
    def status_text(self) -> str:
        """The state as one or two sentences."""
        progress, size = self.progress, format_size(self.size)
        done = format_size(progress.done if progress else self.arrived)
        if self.phase == "running" and progress:
            place = f" File {progress.number} of {progress.files}." if progress.files > 1 else ""
            return f"{progress}.{place}"
        return {
            "running": f"{size}. Contacting the hub.",
            "stopping": f"Stopping. {done} of {size} are kept.",
            "stopped": f"Stopped at {done} of {size}. What has arrived is kept.",
            "failed": f"Interrupted at {done} of {size}.",
            "done": f"{size}. The model is in the list now.",
        }[self.phase]

    @property
    def percent(self) -> float | None:
        """The percentage that has arrived; None while it is unknown."""
        if self.phase == "running" and self.progress is None:
            return None
        done = self.size if self.phase == "done" else self.progress.done if self.progress else self.arrived
        return round(min(100.0, done * 100 / self.size), 1) if self.size else 100.0


class Downloads:
    """Downloads into `models`.

    `changed` is called, from any thread, when a download starts, ends or is discarded, which increases `revision`, and
    a few times per second while one runs. `endpoint`: the hub for resumed downloads (None: HF_ENDPOINT).
    """

    def __init__(self, models: Path, changed: Callable[[], None], endpoint: str | None = None) -> None:
        self._models = models
        self._changed = changed
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._states: dict[str, DownloadState] = {}
        self._jobs: dict[str, Download] = {}
        self._threads: list[threading.Thread] = []
        self._reported = 0.0
        self._report_timer: threading.Timer | None = None
        self.revision = 0

    def states(self) -> list[DownloadState]:
        """Return the downloads of this run, oldest first, then unfinished ones of earlier runs."""
        with self._lock:
            known = dict(self._states)
        others = [name for name in unfinished_downloads(self._models) if name not in known]
        return [*known.values(), *(state for name in others if (state := self._left(name)))]

    def start(self, listing: RepositoryListing, choice: FileSelection) -> None:
        """Start a download in the background. Raises DownloadError if it is already running."""
        state = DownloadState(choice.name, str(listing.wanted), choice.size, "running")
        self._launch(state, lambda: (listing, choice))

    def resume(self, name: str) -> None:
        """Resume a stopped or interrupted download, also of an earlier run. Raises PaddockError."""
        order = read_record(staging_folder(self._models, name))
        if order is None:
            raise DownloadError(f"There is no unfinished download of {name}. Look up its repository and start again.")
        self._launch(
            DownloadState(name, order.wanted, order.size, "running"),
            lambda: _listing_of_record(name, order, self._endpoint),
        )

    def stop(self, name: str) -> None:
        """Stop a download soon and keep what has arrived. Does nothing if it has ended."""
        with self._lock:
            state, job = self._states.get(name), self._jobs.get(name)
            if state is None or state.phase != "running":
                return
            self._states[name] = replace(state, phase="stopping")
        if job:
            job.stop()
        self._notify()

    def discard(self, name: str) -> None:
        """Remove an ended download, and delete what has arrived unless it is done.

        Raises PaddockError if it is running.
        """
        with self._lock:
            state = self._states.get(name)
            if state and not state.ended:
                raise DownloadError(f"{name} is being downloaded. Stop it first.")
        staging = staging_folder(self._models, name)
        if staging.is_dir():
            with lock_staging(staging):
                pass
            shutil.rmtree(staging, ignore_errors=True)
        with self._lock:
            self._states.pop(name, None)
        self._notify()

    def close(self) -> None:
        """Stop all downloads, and wait a short time for them."""
        with self._lock:
            names, threads = list(self._states), list(self._threads)
        for name in names:
            self.stop(name)
        for thread in threads:
            thread.join(_CLOSE_SECONDS)
        with self._lock:
            if self._report_timer is not None:
                self._report_timer.cancel()

    def _launch(self, state: DownloadState, order: Callable[[], tuple[RepositoryListing, FileSelection]]) -> None:
        with self._lock:
            before = self._states.get(state.name)
            if before and not before.ended:
                raise DownloadError(f"{state.name} is already being downloaded. Wait until it has ended, or stop it.")
            self._states.pop(state.name, None)
            self._states[state.name] = state
            thread = self._thread(state.name, order)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        self._notify()

    def _thread(self, name: str, order: Callable[[], tuple[RepositoryListing, FileSelection]]) -> threading.Thread:
        def failed(error: PaddockError) -> None:
            self._ended(name, phase="failed", error=error)

        return host_thread("download", lambda: self._run(name, order), f"The download of {name}", failed)

    def _run(self, name: str, order: Callable[[], tuple[RepositoryListing, FileSelection]]) -> None:
        from modules.library.download import Download
        from modules.library.download_transfer import DownloadStopped

        try:
            listing, choice = order()
            job = Download(self._models, listing, choice, partial(self._progress, name))
            with self._lock:
                self._jobs[name] = job
                stopped = self._states[name].phase == "stopping"
            if stopped:
                job.stop()
            job.run()
            self._ended(name, phase="done")
        except DownloadStopped:
            self._ended(name, phase="stopped")

    def _ended(self, name: str, **changes: object) -> None:
        self._set(name, **changes)
        with self._lock:
            self._jobs.pop(name, None)
        self._notify()

    def _progress(self, name: str, progress: DownloadProgress) -> None:
        self._set(name, progress=progress)
        with self._lock:
            wait = self._reported + _REPORT_SECONDS - time.monotonic()
            if wait > 0:
                # Report the last progress before a connection stalls, too.
                if self._report_timer is None:
                    self._report_timer = threading.Timer(wait, self._report_progress)
                    self._report_timer.daemon = True
                    self._report_timer.start()
                return
        self._report_progress()

    def _report_progress(self) -> None:
        with self._lock:
            self._report_timer = None
            self._reported = time.monotonic()
        self._changed()

    def _set(self, name: str, **changes: Any) -> None:
        with self._lock:
            self._states[name] = replace(self._states[name], **changes)

    def _notify(self) -> None:
        with self._lock:
            self.revision += 1
        self._changed()

    def _left(self, name: str) -> DownloadState | None:
        """Return the state of an unfinished download of an earlier run."""
        order = read_record(staging_folder(self._models, name))
        if order is None:
            return None
        return DownloadState(
            name, order.wanted, order.size, "stopped", downloaded_bytes(staging_folder(self._models, name))
        )


def _listing_of_record(
    name: str, order: DownloadRecord, endpoint: str | None
) -> tuple[RepositoryListing, FileSelection]:
    """Return the files of an earlier record as they are at the hub now."""
    from modules.library.download_choice import FileSelection
    from modules.library.download_listing import list_files, parse_repository_id

    listing = list_files(parse_repository_id(order.wanted), endpoint)
    files = tuple(file for file in listing.files if file.path in order.files)
    if missing := sorted({*order.files} - {file.path for file in files}):
        raise DownloadError(
            f"{order.wanted} no longer has {missing[0]}. Discard this download, then choose from what it has now."
        )
    return listing, FileSelection(name, files, "As started.", single=order.single)
