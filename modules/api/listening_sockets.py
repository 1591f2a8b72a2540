"""Open the listening sockets, before anything slow begins, so that a port in use is reported at once."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys

from modules.protocol.errors import PaddockError

# `localhost` may be either loopback address. With --listen, other machines reach only IPv4, because routers rarely
# shield a machine's IPv6 addresses from the internet.
_PAIRS = {"127.0.0.1": "::1", "0.0.0.0": "::1"}
# Errors of a system without IPv6, or without IPv6 on this interface.
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_TRIES = 20


def bind_all(host: str, port: int) -> list[socket.socket]:
    """Return the listening sockets of a host, all with the same port: first `host`, then the other loopback address.

    Without IPv6 on this machine, return only the first. Raises PaddockError as `bind` does.
    """
    other = _PAIRS.get(host, "") if socket.has_ipv6 else ""
    for _ in range(_TRIES if port == 0 else 1):
        first = bind(host, port)
        if not other:
            return [first]
        try:
            return [first, _bound(other, first.getsockname()[1])]
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [first]
            first.close()
            # Port 0 chose a port that is free only for IPv4: try another.
            if port:
                raise _taken(port, error) from error
    raise PaddockError("No port is free for both 127.0.0.1 and ::1. Start with a --port from 1024 to 65535.")


def bind(host: str, port: int) -> socket.socket:
    """Return one listening socket. Raises PaddockError if the port is in use, not permitted, or no port number."""
    if not 0 <= port <= 65535:
        raise PaddockError(f"There is no port {port}. Start with a --port from 1024 to 65535.")
    try:
        return _bound(host, port)
    except PermissionError as error:
        raise PaddockError(
            f"This system does not let you use port {port}. Start with a --port from 1024 to 65535.", detail=str(error)
        ) from error
    except OSError as error:
        raise _taken(port, error) from error


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            # On Windows, this option would let two servers share the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            # The other socket serves IPv4.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _taken(port: int, error: OSError) -> PaddockError:
    return PaddockError(
        f"Port {port} is in use, perhaps by another Paddock. Stop that one, or start with --port {port + 1}.",
        detail=str(error),
    )


def close_all(listeners: list[socket.socket]) -> None:
    """Close the sockets."""
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.close()
