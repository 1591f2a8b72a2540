"""HTTP requests to the server with JSON and event streams, using the standard library."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from loaders.remote.server_errors import (
    ServerError,
    interrupted_error,
    not_an_api_error,
    refused_error,
    timeout_error,
    unreachable_error,
)
from modules.families.remote_file import RemoteFile

_HEAR_CANCEL_SECONDS = 0.1
# More than any server sends in one event or response, and small enough for this machine's memory.
_LONGEST_LINE = 8 << 20
_LARGEST_ANSWER = 256 << 20
_LARGEST_ERROR = 1 << 20


class HttpClient:
    """A client for one server. Each request has a separate connection, so it is thread-safe."""

    def __init__(self, file: RemoteFile, key: str) -> None:
        self.file = file
        self._key = key

    def with_file(self, file: RemoteFile) -> HttpClient:
        """Return a client for the same server with other timeouts."""
        return HttpClient(file, self._key)

    def get(self, url: str) -> Any:
        """Return the JSON at `url`. Raises ServerError."""
        return self._whole("GET", url, None)

    def post(self, url: str, body: Mapping[str, object]) -> Any:
        """Return the JSON answer to `body`. Raises ServerError."""
        return self._whole("POST", url, body)

    def stream(self, url: str, body: dict[str, Any], cancelled: threading.Event) -> EventStream:
        """Send `body` and return the stream of events."""
        return EventStream(self, url, body, cancelled)

    def _whole(self, method: str, url: str, body: Mapping[str, object] | None) -> Any:
        connection = self.connect(url)
        try:
            return self.read_json(self.ask(connection, method, url, body), _LARGEST_ANSWER)
        finally:
            connection.close()

    def connect(self, url: str) -> HTTPConnection:
        """Open a connection, with the answer timeout set. Raises ServerError."""
        parts = urlsplit(url)
        host, timeout = parts.hostname or "", self.file.connect_timeout
        connection: HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            proxy = urlsplit("" if proxy_bypass(host) else getproxies().get("https", ""))
            if proxy.hostname:
                connection = HTTPSConnection(proxy.hostname, proxy.port or 3128, timeout=timeout, context=context)
                connection.set_tunnel(host, parts.port or 443)
            else:
                connection = HTTPSConnection(host, parts.port or 443, timeout=timeout, context=context)
        else:
            connection = HTTPConnection(host, parts.port or 80, timeout=timeout)
        try:
            connection.connect()
            connection.sock.settimeout(self.file.answer_timeout)
        except (OSError, HTTPException) as error:
            connection.close()
            raise unreachable_error(self.file, error) from None
        return connection

    def ask(self, connection: HTTPConnection, method: str, url: str, body: Mapping[str, object] | None) -> HTTPResponse:
        """Send the request and wait for the response's headers. Raises ServerError for an error status."""
        headers = {"Accept": "application/json, text/event-stream", "User-Agent": "Paddock"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        parts = urlsplit(url)
        try:
            connection.request(
                method, parts.path or "/", json.dumps(body).encode() if body is not None else None, headers
            )
            response = connection.getresponse()
        except TimeoutError:
            raise timeout_error(self.file) from None
        except (OSError, HTTPException) as error:
            raise interrupted_error(self.file, error) from None
        if response.status != 200:
            wait = response.getheader("Retry-After", "")
            raise refused_error(self.file, response.status, self._error(response), wait)
        return response

    def read_json(self, response: HTTPResponse, limit: int) -> Any:
        """Return the JSON of the whole response. Raises ServerError."""
        raw = self._read(response, limit)
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            kind = response.getheader("Content-Type", "")
            raise not_an_api_error(self.file, response.status, kind, raw[:20_000].decode("utf-8", "replace")) from None

    def _error(self, response: HTTPResponse) -> Any:
        raw = self._read(response, _LARGEST_ERROR)
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            kind = response.getheader("Content-Type", "")
            text = raw.decode("utf-8", "replace")
            if response.status in (401, 403) or 300 <= response.status < 400 or "html" not in kind:
                return {} if "html" in kind else text[:400]
            raise not_an_api_error(self.file, response.status, kind, text) from None

    def _read(self, response: HTTPResponse, limit: int) -> bytes:
        try:
            return response.read(limit)
        except TimeoutError:
            raise timeout_error(self.file) from None
        except (OSError, HTTPException) as error:
            raise interrupted_error(self.file, error, began=True) from None


class EventStream:
    """A streamed response, read on a separate thread. Iterating yields the parsed events.

    Ends at the server's [DONE]. Raises ServerError if it ends otherwise, and returns at once when cancelled. `close`
    closes the connection, which stops the server.
    """

    def __init__(self, remote: HttpClient, url: str, body: dict[str, Any], cancelled: threading.Event) -> None:
        self._remote, self._url, self._body = remote, url, body
        self._cancelled = cancelled
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="remote answer", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while not self._cancelled.is_set():
            try:
                found = self._queue.get(timeout=_HEAR_CANCEL_SECONDS)
            except Empty:
                continue
            if found is None:
                return
            if isinstance(found, Exception):
                raise found
            yield found

    def close(self) -> None:
        """Close the connection."""
        self._closed.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            connection = self._remote.connect(self._url)
            self._socket = connection.sock
            if self._closed.is_set():
                connection.close()
                return
            try:
                self._read(self._remote.ask(connection, "POST", self._url, self._body))
            finally:
                connection.close()
            self._queue.put(None)
        except ServerError as failure:
            self._queue.put(failure)
        except Exception as error:
            # Includes what a socket raises that was shut down while being read.
            self._queue.put(interrupted_error(self._remote.file, error, began=True))

    def _read(self, response: HTTPResponse) -> None:
        kind = response.getheader("Content-Type", "")
        if "event-stream" not in kind:
            # A server without streaming answers in one piece. Anything else is not an API.
            self._queue.put(self._remote.read_json(response, _LARGEST_ANSWER))
            return
        try:
            for data in _events(response):
                if data == "[DONE]":
                    return
                self._queue.put(_parsed(data, self._remote.file))
        except TimeoutError:
            raise timeout_error(self._remote.file) from None
        # No [DONE]. The reader of the events decides if the answer was complete.


def _events(response: HTTPResponse) -> Iterator[str]:
    """Yield the data of each server-sent event (HTML Living Standard, 9.2.6)."""
    data: list[str] = []
    while line := response.readline(_LONGEST_LINE):
        if len(line) >= _LONGEST_LINE:
            raise HTTPException("an event without an end")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _parsed(data: str, file: RemoteFile) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise interrupted_error(file, ValueError(f"no event: {data[:200]!r}"), began=True)
    return found
