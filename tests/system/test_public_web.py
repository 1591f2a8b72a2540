"""Fetching reaches the public internet only: not after a look-up, not after a redirect, not for ever."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modules.system import public_web
from modules.system.public_web import AddressRefused, fetch_public, is_public, public_address


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::127.0.0.1]/",
        "http://[fd00::1]/",
        "http://user@8.8.8.8/",
        "http://8.8.8.8:22/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
    ],
)
def test_a_fetch_requests_no_address_of_the_local_network(address: str) -> None:
    with pytest.raises(AddressRefused):
        fetch_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "feff::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "::1",
        "::",
        "::127.0.0.1",
        "::10.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "::ffff:0:8.8.8.8",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "ff02::1",
        "4000::1",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_a_fetch_requests_only_the_public_internet(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    entries = [(family, socket.SOCK_STREAM, 6, "", (text, 80)) for text in ("8.8.8.8", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: entries)
    with pytest.raises(AddressRefused, match="not on the public internet"):
        public_address("public.example", 80)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.88.98.1", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"]
)
def test_a_fetch_requests_public_addresses(address: str) -> None:
    assert is_public(address)


class _Site(http.server.BaseHTTPRequestHandler):
    """A site with redirects, a page, a flood and an answer that never ends."""

    ended = threading.Event()

    def do_GET(self) -> None:
        where = {
            "/redirect": "http://127.0.0.1/secret",
            "/file": "file:///etc/passwd",
            "/loop": "/loop",
            "/on": "/page",
        }
        if self.path in where:
            self.send_response(302)
            self.send_header("Location", where[self.path])
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            while not self.ended.wait(0.02):
                self.wfile.write(b"x")
                self.wfile.flush()
        elif self.path == "/nothing":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<p>Words</p>" if self.path == "/page" else b"x" * 200_000)

    def log_message(self, format: str, *given: Any) -> None:
        """Write nothing to stderr."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve that site as public.example. Return the hosts that are connected to."""
    _Site.ended.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hosts: list[str] = []
    real = public_web._connect

    def connect(scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        hosts.append(host)
        if host != "public.example":
            return real(scheme, host, port)
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.connect()
        return connection

    monkeypatch.setattr(public_web, "_connect", connect)
    yield hosts
    _Site.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_redirect_into_this_network_is_refused(asked: list[str]) -> None:
    with pytest.raises(AddressRefused, match="not on the public internet"):
        fetch_public("http://public.example/redirect")
    assert asked == ["public.example", "127.0.0.1"]
    with pytest.raises(AddressRefused, match="plain http"):
        fetch_public("http://public.example/file")
    with pytest.raises(AddressRefused, match="redirects more than"):
        fetch_public("http://public.example/loop")


def test_a_page_has_its_address_type_and_text(asked: list[str]) -> None:
    page = fetch_public("http://public.example/on")
    assert (page.url, page.type, page.text) == ("http://public.example/page", "text/html", "<p>Words</p>")
    with pytest.raises(AddressRefused, match="status 404"):
        fetch_public("http://public.example/nothing")


def test_a_page_is_bounded_in_size_and_time(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = fetch_public("http://public.example/flood", 1_000)
    assert len(page.data) == 1_000 and not page.is_whole
    monkeypatch.setattr(public_web, "_SECONDS", 0.5)
    found: list[object] = []

    def fetch() -> None:
        try:
            found.append(fetch_public("http://public.example/slow"))
        except AddressRefused as error:
            found.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join(30)
    assert found, "the page was read for ever"


@pytest.mark.parametrize("address", ["http://8.8.8.8/\r\nHost: x", "http://8.8.8.8/a b", "http://", "x", ""])
def test_an_address_cannot_smuggle_a_header(address: str) -> None:
    with pytest.raises(AddressRefused):
        fetch_public(address)
