"""Tells errors of a network, a service or the operating system from faults of the code that met them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import subprocess

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
CLIENT_PACKAGES = frozenset(
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


def exception_chain(error: BaseException) -> list[BaseException]:
    """An error, and those that it was raised `from`, one after another."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not known for known in found):
        found.append(cause)
        cause = cause.__cause__
    return found


def is_external(error: BaseException) -> bool:
    """Whether an error, or one that it was raised `from`, tells of a network, a service or the operating system, or is
    a sentence for the user (a PaddockError)."""
    return any(_is_external(one) for one in exception_chain(error))


def _is_external(error: BaseException) -> bool:
    # A package or a name that the code wants is the code's own matter.
    if isinstance(error, ImportError):
        return False
    if isinstance(error, (PaddockError, *_KINDS)):
        return True
    if not isinstance(error, Exception):
        return False
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    # Clients of one service each have exceptions of their own, which hold the answer's status.
    return bool(roots & CLIENT_PACKAGES) or isinstance(getattr(error, "status_code", None), int)
