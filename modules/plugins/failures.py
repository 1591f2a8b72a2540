"""Tells what lies outside of an extension (a service that does not answer, a file that is not there) from a fault in
its code: the first fails one message, the second switches the extension off."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import subprocess
from types import FrameType

from modules.plugins.guard import Hung
from modules.protocol.errors import PaddockError

_KINDS = (
    OSError,
    asyncio.TimeoutError,
    concurrent.futures.TimeoutError,
    http.client.HTTPException,
    # A service, or a file, that answers with something else than JSON.
    json.JSONDecodeError,
    subprocess.SubprocessError,
)
# Packages whose own exceptions tell of a network or of the service behind it.
_CLIENTS = frozenset(
    (
        "aiohttp",
        "anthropic",
        "boto3",
        "botocore",
        "ftplib",
        "grpc",
        "httpcore",
        "httpx",
        "imaplib",
        "ollama",
        "openai",
        "poplib",
        "pymongo",
        "redis",
        "requests",
        "smtplib",
        "socketio",
        "socks",
        "urllib",
        "urllib3",
        "websocket",
        "websockets",
        "xmlrpc",
        "zmq",
    )
)
# Modules of Python in which code waits for another process or machine.
_WAITS = frozenset({"http", "selectors", "socket", "ssl", "subprocess", "urllib"} | _CLIENTS)


class MessageFailed(PaddockError):
    """A hook could not do its work for this message. Its extension stays on."""

    code = "extension"


def is_outside(error: BaseException) -> bool:
    """Whether an error of an extension's code tells of something outside of that code: the operating system, a network,
    a service, the user's settings (a PaddockError), or a hook that was waiting for one of those when its seconds were
    over. An error that was raised `from` such a one counts like it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if _tells_of_outside(cause):
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False


def waits_outside(frame: FrameType | None) -> bool:
    """Whether code that stands at `frame` waits for another process or machine."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _WAITS:
            return True
        frame = frame.f_back
    return False


def _tells_of_outside(error: BaseException) -> bool:
    if isinstance(error, Hung):
        return error.outside
    # A hook's own wrong name or argument, told by the host.
    if isinstance(error, ImportError):
        return False
    if isinstance(error, (PaddockError, *_KINDS)):
        return True
    if not isinstance(error, Exception):
        return False
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    # Clients of one service each have exceptions of their own, which hold the answer's status.
    return bool(roots & _CLIENTS) or isinstance(getattr(error, "status_code", None), int)
