"""Fetches pages of the public internet. Never connects to this machine or its networks (prevents SSRF).

Standard library only.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from modules.protocol.errors import PaddockError

_CONNECT_SECONDS = 10.0
# For one page with all of its redirects, whatever a server sends.
_SECONDS = 30.0
_MOST_BYTES = 5_000_000
_MOST_REDIRECTS = 5
_UNICAST = ipaddress.IPv6Network("2000::/3")
# 6to4, Teredo and other special blocks in it (RFC 6890), and ORCHID. They can lead to other networks.
_CARRIERS = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# IETF protocol assignments (RFC 6890), and the 6to4 relay (RFC 7526).
_RELAYS = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))
_PORTS = {"http": 80, "https": 443}
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (Paddock)",
    "Accept": "text/html, text/*;q=0.9, application/pdf;q=0.8, */*;q=0.1",
}


class AddressRefused(PaddockError):
    """An address is not allowed, or does not answer with a page."""

    code = "address"


@dataclass(frozen=True)
class PublicPage:
    """What an address answered. `url`: after redirects; `type`: its media type, such as "text/html", or "".

    `data`: at most 5 MB. `is_whole`: False if there was more.
    """

    url: str
    type: str
    data: bytes
    is_whole: bool = True

    @property
    def text(self) -> str:
        """The data as text, in UTF-8."""
        return self.data.decode("utf-8", "replace")


def fetch_public(url: str, most_bytes: int = _MOST_BYTES) -> PublicPage:
    """Return the page at `url`. Follows up to five redirects and checks each. Raises AddressRefused."""
    sockets: list[socket.socket] = []

    def give_up() -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(_SECONDS, give_up)
    clock.daemon = True
    clock.start()
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            found = _fetch(url, most_bytes, sockets)
            if isinstance(found, PublicPage):
                return found
            url = found
    except (OSError, http.client.HTTPException, ValueError) as error:
        host = urlsplit(url).hostname or url[:100]
        reason = f"{type(error).__name__}: {error}".rstrip(": ")[:200]
        raise AddressRefused(f"{host} did not answer with a page ({reason}).") from error
    finally:
        clock.cancel()
    raise AddressRefused(f"{url[:200]} redirects more than {_MOST_REDIRECTS} times.")


def _fetch(url: str, most_bytes: int, sockets: list[socket.socket]) -> PublicPage | str:
    """Return the page, or the address that it redirects to."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or re.search(r"[\x00-\x20\x7f]", url):
        raise AddressRefused(f"{url[:200]!r} is not a plain http or https address.")
    port = parts.port or _PORTS[parts.scheme]
    if port not in _PORTS.values():
        raise AddressRefused(f"{url[:200]} names port {port}. Only ports 80 and 443 are allowed.")
    connection = _connect(parts.scheme, parts.hostname, port)
    try:
        if connection.sock is not None:
            sockets.append(connection.sock)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        connection.request("GET", path + query, headers=_HEADERS)
        answer = connection.getresponse()
        if answer.status in (301, 302, 303, 307, 308):
            return urljoin(url, answer.getheader("Location", ""))
        if answer.status != 200:
            raise AddressRefused(f"{parts.hostname} answered with status {answer.status}.")
        data = answer.read(most_bytes + 1)
        media = answer.getheader("Content-Type", "").partition(";")[0].strip().lower()
        return PublicPage(url, media, data[:most_bytes], len(data) <= most_bytes)
    finally:
        connection.close()


def _connect(scheme: str, host: str, port: int) -> http.client.HTTPConnection:
    """Connect to the address that was checked: a second look-up could return another one."""
    made = socket.create_connection((public_address(host, port), port), _CONNECT_SECONDS)
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(made, server_hostname=host) if scheme == "https" else made
        )
    except BaseException:
        made.close()
        raise
    return connection


def public_address(host: str, port: int) -> str:
    """Return an IP address of a public host. Raises AddressRefused if any of its addresses is not public."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise AddressRefused(f"{host} was not found. Check the network and the address.") from None
    for text in found:
        if not is_public(text):
            raise AddressRefused(f"{host} leads to {text}, which is not on the public internet.")
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
