"""Distinguishes errors of a network, a service or the operating system from bugs in extension code."""

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
    # A service or a file that does not contain JSON.
    json.JSONDecodeError,
    subprocess.SubprocessError,
)
# Packages whose exceptions report errors of a network or a service.
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
    """Return an error and the errors that it was raised `from`, in order."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not known for known in found):
        found.append(cause)
        cause = cause.__cause__
    return found


def is_external(error: BaseException) -> bool:
    """Return True if an error, or one that it was raised `from`, comes from a network, a service or the operating
    system, or is a PaddockError."""
    return any(_is_external(one) for one in exception_chain(error))


def _is_external(error: BaseException) -> bool:
    # A missing package or name is a fault of the code that imports it.
    if isinstance(error, ImportError):
        return False
    if isinstance(error, (PaddockError, *_KINDS)):
        return True
    if not isinstance(error, Exception):
        return False
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    # Clients of single services have their own exceptions, with the status of the answer.
    return bool(roots & CLIENT_PACKAGES) or isinstance(getattr(error, "status_code", None), int)
