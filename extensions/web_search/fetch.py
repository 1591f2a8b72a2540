"""Fetches a public web page as text. Never connects to this machine or its network (prevents SSRF)."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from paddock import PaddockError

_SECONDS = 10
_MOST_BYTES = 2_000_000
_MOST_REDIRECTS = 3
_UNICAST = ipaddress.IPv6Network("2000::/3")
# 6to4, Teredo and other special blocks in it (RFC 6890), and ORCHID. They can lead to other networks.
_CARRIERS = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# IETF protocol assignments (RFC 6890), and the 6to4 relay (RFC 7526).
_RELAYS = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))
_PORTS = {"http": 80, "https": 443}


class Refused(PaddockError):
    """An address is not allowed, or does not answer."""


def public_address(host: str, port: int) -> str:
    """Return an IP address of a public host. Raises Refused if any of its addresses is not public."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise Refused(f"{host} was not found; check the network and the address") from None
    for text in found:
        if not is_public(text):
            raise Refused(f"{host} leads to {text}, which is not on the public internet")
    return sorted(found)[0]


def is_public(text: str) -> bool:
    """Return True if an IP address is on the public internet and embeds no IPv4 address of another network."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _RELAYS)
    # Only global unicast is assigned (RFC 4291). The rest embeds IPv4 addresses, or is for sites and protocols.
    return address in _UNICAST and not any(address in network for network in _CARRIERS)


def _connect(scheme: str, host: str, port: int) -> http.client.HTTPConnection:
    """Connect to the address that was checked: a second look-up could return another one."""
    made = socket.create_connection((public_address(host, port), port), _SECONDS)
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    connection.sock = (
        ssl.create_default_context().wrap_socket(made, server_hostname=host) if scheme == "https" else made
    )
    return connection


def fetch_text(url: str) -> str:
    """Return the text of the page at `url`. Follows up to three redirects and checks each. Raises Refused, OSError."""
    for _ in range(_MOST_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.username:
            raise Refused(f"{url} is not a plain http or https address")
        port = parts.port or _PORTS[parts.scheme]
        if port not in (80, 443):
            raise Refused(f"{url} names port {port}; only ports 80 and 443 are allowed")
        connection = _connect(parts.scheme, parts.hostname, port)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"User-Agent": "Mozilla/5.0 (Paddock)", "Accept": "text/html"})
            answer = connection.getresponse()
            if answer.status in (301, 302, 303, 307, 308):
                url = urljoin(url, answer.getheader("Location", ""))
                continue
            if answer.status != 200:
                raise Refused(f"{parts.hostname} answered with status {answer.status}")
            return page_text(answer.read(_MOST_BYTES).decode("utf-8", "replace"))
        finally:
            connection.close()
    raise Refused(f"{url} redirects more than {_MOST_REDIRECTS} times")


def page_text(markup: str) -> str:
    """Return the text of an HTML page, without scripts, styles and navigation."""
    reader = _Words()
    reader.feed(markup)
    return re.sub(r"\n\s*\n+", "\n", re.sub(r"[ \t]+", " ", "".join(reader.words))).strip()


class _Words(HTMLParser):
    """Collects the readable text of a page."""

    _SILENT = frozenset({"script", "style", "head", "nav", "svg", "noscript", "form"})
    _BREAKS = frozenset({"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self._SILENT
        if tag in self._BREAKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self._SILENT and self._silent > 0

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)
