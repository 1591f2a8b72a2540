"""The listening socket: taken before anything slow begins, so that a port in use is told at once."""

from __future__ import annotations

import socket
import sys

from modules.protocol.errors import PaddockError


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises PaddockError when the port is taken, not ours to take, or no port at all."""
    if not 0 <= port <= 65535:
        raise PaddockError(f"There is no port {port}. Start with a --port from 1024 to 65535.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":
        # There it would let two servers share the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except PermissionError as error:
        listener.close()
        raise PaddockError(
            f"This system does not let you use port {port}. Start with a --port from 1024 to 65535.", detail=str(error)
        ) from error
    except OSError as error:
        listener.close()
        raise PaddockError(
            f"Port {port} is in use, perhaps by another Paddock. Stop that one, or start with --port {port + 1}.",
            detail=str(error),
        ) from error
    listener.listen(128)
    return listener
