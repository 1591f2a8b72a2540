"""The downloads of this run, each on a thread of its own, and those that an earlier run left unfinished.

They belong to the host: a page may go and come back. Those that were stopped or broke off go on where they ended.
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
    # huggingface_hub takes most of a second to import: only who downloads waits for it.
    from modules.library.download import Download, DownloadProgress
    from modules.library.download_choice import FileSelection
    from modules.library.download_listing import RepositoryListing

# A line that stands still is noticed only when it times out; the end of Paddock does not wait for that.
_CLOSE_SECONDS = 2.0
# How often the progress of a download is told.
_TELL_SECONDS = 0.5


@dataclass(frozen=True)
class DownloadState:
    """One download: `name` below models/, `repository` as owner/name[:revision], `size` of all its files in bytes.

    `phase`: "running", "stopping", "stopped" (by somebody, or left by an earlier run), "failed" (see `error`), "done".
    `arrived`: bytes that an earlier run left. `progress`: how far this run is; None until the first bytes are known.
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
        """Whether nothing of it runs any more."""
        return self.phase in ("stopped", "failed", "done")

    @property
    def status_text(self) -> str:
        """How far it is, as a sentence or two."""
        progress, size = self.progress, format_size(self.size)
        done = format_size(progress.done if progress else self.arrived)
        if self.phase == "running" and progress:
            place = f" File {progress.number} of {progress.files}." if progress.files > 1 else ""
            return f"{progress}.{place}"
        return {
            "running": f"{size}. Asking the hub.",
            "stopping": f"Stopping. {done} of {size} are kept.",
            "stopped": f"Stopped at {done} of {size}. What has arrived is kept.",
            "failed": f"Broke off at {done} of {size}.",
            "done": f"{size}. It is among the models now.",
        }[self.phase]

    @property
    def percent(self) -> float | None:
        """How much of it is here; None while that is unknown."""
        if self.phase == "running" and self.progress is None:
            return None
        done = self.size if self.phase == "done" else self.progress.done if self.progress else self.arrived
        return round(min(100.0, done * 100 / self.size), 1) if self.size else 100.0


class Downloads:
    """Downloads into `models`. `changed` is called, from any thread, whenever one begins, ends or is dropped, which
    `revision` counts, and some times a second while one runs. `endpoint`: the hub that is asked
    when one goes on; None: HF_ENDPOINT's."""

    def __init__(self, models: Path, changed: Callable[[], None], endpoint: str | None = None) -> None:
        self._models = models
        self._changed = changed
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._states: dict[str, DownloadState] = {}
        self._jobs: dict[str, Download] = {}
        self._threads: list[threading.Thread] = []
        self._told = 0.0
        self._later: threading.Timer | None = None
        self.revision = 0

    def states(self) -> list[DownloadState]:
        """All of this run, oldest first, then what earlier runs left."""
        with self._lock:
            known = dict(self._states)
        others = [name for name in unfinished_downloads(self._models) if name not in known]
        return [*known.values(), *(state for name in others if (state := self._left(name)))]

    def start(self, listing: RepositoryListing, choice: FileSelection) -> None:
        """Download in the background. Raises DownloadError if it runs already."""
        state = DownloadState(choice.name, str(listing.wanted), choice.size, "running")
        self._launch(state, lambda: (listing, choice))

    def resume(self, name: str) -> None:
        """Go on with one that was stopped, broke off, or was left by an earlier run. Raises PaddockError."""
        order = read_record(staging_folder(self._models, name))
        if order is None:
            raise DownloadError(f"Of {name} nothing is there to go on with. Look its repository up and begin anew.")
        self._launch(
            DownloadState(name, order.wanted, order.size, "running"), lambda: _ordered(name, order, self._endpoint)
        )

    def stop(self, name: str) -> None:
        """End it soon; what has arrived is kept. Nothing happens if it has ended."""
        with self._lock:
            state, job = self._states.get(name), self._jobs.get(name)
            if state is None or state.phase != "running":
                return
            self._states[name] = replace(state, phase="stopping")
        if job:
            job.stop()
        self._tell()

    def discard(self, name: str) -> None:
        """Forget one that has ended, and delete what has arrived unless it is done. Raises PaddockError if it runs."""
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
        self._tell()

    def close(self) -> None:
        """Stop all, and wait a moment for it."""
        with self._lock:
            names, threads = list(self._states), list(self._threads)
        for name in names:
            self.stop(name)
        for thread in threads:
            thread.join(_CLOSE_SECONDS)
        with self._lock:
            if self._later is not None:
                self._later.cancel()

    def _launch(self, state: DownloadState, order: Callable[[], tuple[RepositoryListing, FileSelection]]) -> None:
        with self._lock:
            before = self._states.get(state.name)
            if before and not before.ended:
                raise DownloadError(f"{state.name} is being downloaded already. Wait until that has ended, or stop it.")
            self._states.pop(state.name, None)
            self._states[state.name] = state
            thread = self._thread(state.name, order)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        self._tell()

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

    def _ended(self, name: str, **changes: Any) -> None:
        self._set(name, **changes)
        with self._lock:
            self._jobs.pop(name, None)
        self._tell()

    def _progress(self, name: str, progress: DownloadProgress) -> None:
        self._set(name, progress=progress)
        with self._lock:
            wait = self._told + _TELL_SECONDS - time.monotonic()
            if wait > 0:
                # The last progress before a line stands still must be told, too.
                if self._later is None:
                    self._later = threading.Timer(wait, self._tell_progress)
                    self._later.daemon = True
                    self._later.start()
                return
        self._tell_progress()

    def _tell_progress(self) -> None:
        with self._lock:
            self._later = None
            self._told = time.monotonic()
        self._changed()

    def _set(self, name: str, **changes: Any) -> None:
        with self._lock:
            self._states[name] = replace(self._states[name], **changes)

    def _tell(self) -> None:
        with self._lock:
            self.revision += 1
        self._changed()

    def _left(self, name: str) -> DownloadState | None:
        """What an earlier run left of it."""
        order = read_record(staging_folder(self._models, name))
        if order is None:
            return None
        return DownloadState(
            name, order.wanted, order.size, "stopped", downloaded_bytes(staging_folder(self._models, name))
        )


def _ordered(name: str, order: DownloadRecord, endpoint: str | None) -> tuple[RepositoryListing, FileSelection]:
    """The files of an earlier order as the hub has them now."""
    from modules.library.download_choice import FileSelection
    from modules.library.download_listing import list_files, parse_repository_id

    listing = list_files(parse_repository_id(order.wanted), endpoint)
    files = tuple(file for file in listing.files if file.path in order.files)
    if missing := sorted({*order.files} - {file.path for file in files}):
        raise DownloadError(
            f"{order.wanted} no longer has {missing[0]}. Discard this download, then choose from what it has now."
        )
    return listing, FileSelection(name, files, "As begun.", single=order.single)
