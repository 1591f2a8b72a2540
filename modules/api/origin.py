"""Check Host and Origin, so that another site's page cannot use Paddock through its user's browser.

A page of another site can send requests, but the browser adds Origin and `Sec-Fetch-Site`, which no script can change.
A name that another site points at this machine (DNS rebinding) appears in Host.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address

from modules.settings.access import ANY_ORIGIN
from modules.settings.config import Config

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::(\d{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://([^/?#\s]+)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_SECURE = frozenset({"https", "wss"})
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
_LOCAL_NAME = (
    "Paddock serves only this machine, and {!r} is another name. Open it as 127.0.0.1, or start it with --public-url "
    "if a proxy serves it under that name."
)
_OPEN_NAME = (
    "Paddock needs no password, and {!r} is not this machine's name: another site may have sent you here. Open it by "
    "its IP address, or start it with --public-url and this name."
)
_ELSEWHERE = "This request comes from another site's page, so it was refused."


def authority(text: str) -> tuple[str, int | None] | None:
    """Return (host name without brackets, port or None) of a Host header, or None if it is malformed."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    return found.group(1).strip("[]").lower(), int(found.group(2)) if found.group(2) else None


def origin(text: str) -> tuple[str, str, int] | None:
    """Return (scheme, host name, port) of an Origin header or an address; None for "null" and other schemes."""
    found = _ORIGIN.fullmatch(text)
    place = found and authority(found.group(2))
    if not found or not place:
        return None
    scheme = found.group(1).lower()
    return scheme, place[0], place[1] or _PORTS[scheme]


def check_host(config: Config, headers: Mapping[str, str]) -> tuple[int, str]:
    """Return (status, sentence) of a refusal because of the Host header, or (200, "")."""
    sent = headers.get("host", "")
    host = authority(sent)
    if host is None:
        return (
            400 if sent else 403,
            "The Host header is missing or malformed. Open Paddock at the address that its terminal shows.",
        )
    public = origin(config.public_origin)
    if not _is_own_name(config, host[0]) and not (public and host[0] == public[1]):
        return 403, (_OPEN_NAME if config.listen else _LOCAL_NAME).format(sent)
    return 200, ""


def check_origin(config: Config, scheme: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Return (status, sentence) of a refusal because another site's page sent the request, or (200, "").

    The Host header must have been checked.
    """
    site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
    if site in ("cross-site", "same-site") and (mode != "navigate" or headers.get("sec-fetch-dest") in _FRAMES):
        return 403, _ELSEWHERE
    sent = headers.get("origin", "")
    if not sent:
        return 200, ""
    came = origin(sent)
    host = authority(headers["host"])
    assert host is not None
    # With `same-origin`, the browser states that the page was opened at the address to which it sends this request.
    # That is reliable even where a proxy replaced Host.
    if came and (
        site == "same-origin" or came == origin(config.public_origin) or came in _own_origins(scheme, host, headers)
    ):
        return 200, ""
    return 403, f"{_ELSEWHERE} If it is your proxy's address, start Paddock with --public-url and that address."


def is_allowed_site(config: Config, headers: Mapping[str, str]) -> bool:
    """Return True if the request states an Origin that --cors-allow-origin allows to use the API."""
    sent = headers.get("origin", "")
    return bool(sent) and (ANY_ORIGIN in config.cors_origins or sent in config.cors_origins)


def _is_own_name(config: Config, name: str) -> bool:
    """Return True if a request may name this machine so.

    With a secret, other names do no harm: DNS rebinding has the browser send no secret to them. Without one, only
    names that no other site can point at this machine count: IP addresses and the machine's own name.
    """
    if name in LOOPBACK or config.listen and config.has_secret:
        return True
    if not config.listen:
        return False
    with suppress(ValueError):
        return bool(ip_address(name))
    own = socket.gethostname().lower().partition(".")[0]
    return name in (own, f"{own}.local")


def _own_origins(scheme: str, host: tuple[str, int | None], headers: Mapping[str, str]) -> set[tuple[str, str, int]]:
    """Return the origins at which this request's client sees Paddock: that of Host, and those in a proxy's headers.

    A proxy's headers are accepted from any client. A browser does not send them for another site's page without a CORS
    preflight, and for other clients Origin has no protective effect.
    """
    proto = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    schemes = {"https" if scheme in _SECURE else "http"} | ({proto} & _PORTS.keys())
    forwarded = authority(headers.get("x-forwarded-host", "").split(",")[0].strip())
    places = [place for place in (host, forwarded) if place]
    return {(name, place[0], place[1] or _PORTS[name]) for name in schemes for place in places}
