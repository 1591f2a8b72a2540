"""Download one file from the hub. Continues where an earlier attempt ended, and checks the result.

huggingface_hub 2.4 deletes what has arrived when its download is interrupted, so the bytes are read here, with its
session, headers and addresses.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from huggingface_hub import constants, get_session, get_token, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from modules.library.download_listing import RemoteFile, RepositoryListing, explain_error
from modules.library.download_staging import DownloadError
from modules.library.sizes import format_size

# Attempts in a row without new bytes, and the seconds before the second one (doubled for each further one).
_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0
_BLOCK = 1 << 20


class DownloadStopped(DownloadError):
    """The user stopped the download."""


class _Transient(Exception):
    """The connection broke or the hub is busy; another attempt may succeed."""


class Transfer:
    """Downloads files of one listing.

    `arrived` is called with a number of bytes and True if they arrived now. Negative numbers are bytes to fetch again.
    """

    def __init__(
        self,
        listing: RepositoryListing,
        arrived: Callable[[int, bool], None],
        stop: threading.Event,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._listing = listing
        self._arrived = arrived
        self._stop = stop
        self._pause = pause_seconds

    def fetch(self, file: RemoteFile, part: Path) -> None:
        """Fill `part` until it is all of `file`, flushed to the disk and with the right checksum.

        Raises DownloadError; `part` stays for the next attempt, unless its checksum is wrong.
        """
        try:
            with part.open("ab+", buffering=0) as target:
                body = _Body(file, target)
                self._arrived(body.size, False)
                self._fill(body)
                os.fsync(target.fileno())
        except OSError as error:
            raise DownloadError(
                f"{file.path} could not be written ({error.strerror or error}). Free some disk space or check the "
                "permissions of the models folder, then start it again. It continues from here.",
                detail=str(error),
            ) from error
        if not body.is_right():
            with contextlib.suppress(OSError):
                part.unlink()
            raise DownloadError(
                f"{file.path} arrived with a wrong checksum, so it was deleted. Start it again. If the error repeats, "
                f"the copy on {self._listing.endpoint} is damaged.",
                detail=f"expected {file.checksum}, {file.size} bytes; got {body.digest()}, {body.size} bytes",
            )

    def _fill(self, body: _Body) -> None:
        failures, furthest = 0, body.size
        while body.size < body.file.size:
            try:
                self._stream(body)
                problem: Exception = DownloadError(f"{body.file.path} ended too early.")
            except (_Transient, httpx2.TransportError) as error:
                problem = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
            except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled) as error:
                raise explain_error(error, self._listing.wanted, self._listing.endpoint) from error
            failures = 0 if body.size > furthest else failures + 1
            furthest = max(furthest, body.size)
            if body.size >= body.file.size:
                return
            if failures >= _ATTEMPTS:
                cause = explain_error(problem, self._listing.wanted, self._listing.endpoint).message
                raise DownloadError(
                    f"The download of {body.file.path} broke off after {format_size(body.size)} of "
                    f"{format_size(body.file.size)}. {cause} What has arrived is kept.",
                    detail=str(problem),
                ) from problem
            if self._stop.wait(self._pause * 2**failures):
                raise self._stopped()

    def _stream(self, body: _Body) -> None:
        with self._open(body) as response:
            if body.size and not _continues_at(response, body.size):
                self._arrived(-body.size, False)
                body.restart()
                if response.status_code == 206:
                    raise _Transient("the hub sent a different part of the file than requested")
            for chunk in response.iter_bytes():
                if self._stop.is_set():
                    raise self._stopped()
                piece = chunk[: body.file.size - body.size]
                body.add(piece)
                self._arrived(len(piece), True)
                if body.size >= body.file.size:
                    return

    @contextlib.contextmanager
    def _open(self, body: _Body) -> Iterator[Any]:
        listing = self._listing
        wanted = listing.wanted
        url = hf_hub_url(
            wanted.repository,
            body.file.path,
            repo_type=wanted.kind,
            revision=listing.commit,
            endpoint=listing.endpoint,
        )
        # With compression, bytes could not be counted, and a download could not continue in the middle of the file.
        headers = {"Accept-Encoding": "identity"}
        if token := get_token():
            headers["Authorization"] = f"Bearer {token}"  # httpx leaves it out where a redirect leads to another host
        if body.size:
            headers["Range"] = f"bytes={body.size}-"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            try:
                hf_raise_for_status(response)
            except HfHubHTTPError as error:
                if response.status_code == 416:  # the file there is shorter than what is here
                    self._arrived(-body.size, False)
                    body.restart()
                elif response.status_code not in (408, 429) and response.status_code < 500:
                    raise
                raise _Transient(str(error)) from error
            yield response

    def _stopped(self) -> DownloadStopped:
        return DownloadStopped("The download was stopped. Start it again to continue from here.")


def _continues_at(response: Any, size: int) -> bool:
    """Return True if the response starts at byte `size`."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and match is not None and int(match[1]) == size


class _Body:
    """The part of a file that has arrived, on disk and in the checksum."""

    def __init__(self, file: RemoteFile, target: BinaryIO | Any) -> None:
        self.file = file
        self._target = target
        self.size = target.seek(0, os.SEEK_END)
        if self.size > file.size:
            self.restart()
            return
        self._hash = self._empty_hash()
        target.seek(0)
        while block := target.read(_BLOCK):
            self._hash.update(block)

    def _empty_hash(self) -> Any:
        if self.file.sha256 or not self.file.git_sha1:
            return hashlib.sha256()
        # Git's own object name: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        return hashlib.sha1(f"blob {self.file.size}\0".encode(), usedforsecurity=False)

    def add(self, chunk: bytes) -> None:
        """Append `chunk`. A raw file may write less than requested."""
        rest = memoryview(chunk)
        while rest:
            count = self._target.write(rest)
            self._hash.update(rest[:count])
            self.size += count
            rest = rest[count:]

    def restart(self) -> None:
        """Delete what has arrived."""
        self._target.seek(0)
        self._target.truncate()
        self.size = 0
        self._hash = self._empty_hash()

    def digest(self) -> str:
        """Return the checksum so far, in hexadecimal."""
        return str(self._hash.hexdigest())

    def is_right(self) -> bool:
        """Return True if size and checksum (if known) match the listing."""
        return self.size == self.file.size and self.file.checksum in ("", self.digest())
