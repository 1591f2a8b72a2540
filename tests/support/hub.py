"""A model hub on the loopback address: the parts of its API that a download uses, and the faults that it can have."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """Files and behaviour of a hub, of which each data set has the same files.

    `seen` has each request as (method, path, Range, Authorization).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    repository: str = "maker/tiny"
    address: str = ""
    commit: str = COMMIT
    token: str = ""  # required in every request
    gated: bool = False
    html: bool = False  # answer with a login page
    extra: list[dict[str, Any]] = field(default_factory=list)  # more entries of the listing
    others: list[dict[str, Any]] = field(default_factory=list)  # more repositories that a search finds
    breaks: dict[str, list[int]] = field(default_factory=dict)  # path -> bytes after which each answer breaks off
    stalls: dict[str, int] = field(default_factory=dict)  # path -> bytes after which the answer stalls
    spoilt: set[str] = field(default_factory=set)  # paths whose bytes differ from the listing
    busy: list[int] = field(default_factory=list)  # statuses of the next answers to requests for files
    ranges: bool = True
    shift: int = 0  # distance between the requested range and the range that is sent
    redirect: str = ""  # send files from this other host
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[str, str, str, str]] = field(default_factory=list)

    def gets(self, path: str) -> list[str]:
        """Return the Range headers of the requests for a file, "" for the whole file."""
        return [ranges for method, where, ranges, _ in self.seen if method == "GET" and where.endswith(f"/{path}")]

    def listing(self) -> dict[str, Any]:
        """Return the answer to /api/models/…?blobs=true."""
        siblings: list[dict[str, Any]] = []
        for path, data in self.files.items():
            blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
            entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob}
            if not path.endswith((".json", ".txt", ".md")):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        return {"id": self.repository, "sha": self.commit, "siblings": siblings + self.extra}

    def search(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Return the answer to /api/models?search=…&sort=downloads&limit=…"""
        known = [{"id": self.repository, "downloads": 7, "tags": ["gguf"], "gated": False}, *self.others]
        words = query.get("search", [""])[0].lower()
        found = sorted((one for one in known if words in one["id"].lower()), key=lambda one: -one["downloads"])
        return found[: int(query.get("limit", ["1000"])[0])]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read `Hub.seen` instead."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization", "")
        hub.seen.append((self.command, path, self.headers.get("Range", ""), authorization))
        if hub.html:
            self._answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
        elif hub.token and authorization not in ("", f"Bearer {hub.token}"):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif hub.token and not authorization and not hub.gated:
            self._refuse(401, "RepoNotFound", "Repository not found")
        elif path in (f"/api/models/{hub.repository}", f"/api/models/{hub.repository}/revision/main"):
            self._answer(200, json.dumps(hub.listing()).encode(), {"Content-Type": "application/json"})
        elif path == "/api/models":
            hits = hub.search(parse_qs(urlsplit(self.path).query))
            self._answer(200, json.dumps(hits).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/api/models/{hub.repository}/revision/"):
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
        elif path.startswith(prefix := f"/{hub.repository}/resolve/{hub.commit}/"):
            self._file(hub, path[len(prefix) :])
        elif found := re.match(rf"/datasets/[\w.-]+/[\w.-]+/resolve/(?:main|{hub.commit})/", path):
            self._file(hub, path[found.end() :])
        else:
            self._refuse(404, "RepoNotFound", "Repository not found")

    def _file(self, hub: Hub, path: str) -> None:
        if hub.gated and not self.headers.get("Authorization"):
            self._refuse(403, "GatedRepo", "Access to this model is restricted")
        elif hub.busy:
            self._refuse(hub.busy.pop(0), "", "Busy")
        elif path not in hub.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif hub.redirect:
            self._answer(302, b"", {"Location": f"{hub.redirect}{self.path}"})
        else:
            self._send(hub, path, bytes(len(hub.files[path])) if path in hub.spoilt else hub.files[path])

    def _send(self, hub: Hub, path: str, data: bytes) -> None:
        requested = self.headers.get("Range", "") if hub.ranges else ""
        start = int(requested.removeprefix("bytes=").rstrip("-")) + hub.shift if requested else 0
        if requested and start >= len(data):
            self._refuse(416, "", "Range not satisfiable")
            return
        self.send_response(206 if requested else 200)
        if requested:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("X-Repo-Commit", hub.commit)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if hub.breaks.get(path):
            self.wfile.write(data[start : start + hub.breaks[path].pop(0)])
            self.close_connection = True  # fewer bytes than Content-Length says
        elif path in hub.stalls:
            self.wfile.write(data[start : start + hub.stalls.pop(path)])
            hub.stalled.set()
            hub.go_on.wait(600)
            self.close_connection = True
        else:
            self.wfile.write(data[start:])

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, b"{}", {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    hub: Hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up: tests do that on purpose."""


@contextmanager
def hub_of(files: dict[str, bytes], **behaviour: Any) -> Iterator[Hub]:
    """Run a hub with one repository while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    hub = server.hub = Hub(files, address=f"http://127.0.0.1:{server.server_address[1]}", **behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
