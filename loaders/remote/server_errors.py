"""Errors of the remote server, as messages with a next step."""

from __future__ import annotations

import json
import re
import socket
import ssl

from modules.families.remote_file import RemoteFile
from modules.protocol.errors import EnvironmentBroken, ModelError, PaddockError, PromptError

# Another attempt may succeed: too many requests, or a proxy whose server is starting or busy.
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
# The request itself is at fault, or the kind of server: every replica of the model answers so.
_EVERYWHERE = frozenset({400, 405, 413, 422, 501})
# The server is well: it is busy, or failed at this request.
_ALIVE = frozenset({408, 425, 429, 500})


class ServerError(Exception):
    """A failed request. `again`: another attempt may succeed. `wait`: seconds that the server asks to wait.

    `elsewhere`: another server of the same model may do what this one did not. `dead`: this one is not to be used until
    it has been checked.
    """

    def __init__(
        self,
        error: PaddockError,
        *,
        again: bool = False,
        wait: float = 0.0,
        status: int = 0,
        elsewhere: bool = True,
        dead: bool = True,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.wait = wait
        self.status = status
        self.elsewhere = elsewhere
        self.dead = dead and elsewhere


def unreachable_error(file: RemoteFile, error: Exception) -> ServerError:
    """Return the error for a failed connection."""
    if isinstance(error, socket.gaierror):
        message = "there is no machine of that name. Check the address and the network"
    elif isinstance(error, ssl.SSLCertVerificationError):
        message = (
            f"its certificate is not trusted ({error.verify_message}). Use the name that the certificate is for, or "
            "name the authority's file in the environment variable SSL_CERT_FILE"
        )
    elif isinstance(error, ssl.SSLError):
        message = "it does not speak TLS there. Write http:// instead of https://, or check the port"
    elif isinstance(error, ConnectionRefusedError):
        message = "nothing listens there. Start the server, or check the address and the port"
    elif isinstance(error, TimeoutError):
        message = f"no answer within {file.connect_timeout:g} seconds. Check the address, the network and its firewall"
    else:
        message = f"{type(error).__name__}: {error}. Check the address and the network"
    broken = PaddockError(f"{file.address} cannot be reached: {message}.", detail=repr(error))
    return ServerError(broken, again=not isinstance(error, (ssl.SSLError, socket.gaierror)))


def timeout_error(file: RemoteFile) -> ServerError:
    """Return the error for a server that accepted the request but sends nothing."""
    return ServerError(
        PaddockError(
            f"{file.address} has said nothing for {file.answer_timeout:g} seconds. What arrived is kept. See whether "
            "the server is busy or hangs, or raise Answer timeout."
        )
    )


def interrupted_error(file: RemoteFile, error: Exception | None = None, *, began: bool = False) -> ServerError:
    """Return the error for a connection that ended before the answer."""
    when = "in the middle of its answer. What arrived is kept" if began else "before it answered"
    return ServerError(
        PaddockError(
            f"{file.address} closed the connection {when}. See whether the server still runs, then try again.",
            detail=repr(error) if error else "",
        ),
        again=not began,
    )


def not_an_api_error(file: RemoteFile, status: int, kind: str, body: str) -> ServerError:
    """Return the error for an answer that is not JSON."""
    title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", body[:20_000], re.IGNORECASE | re.DOTALL)
    named = f" titled “{' '.join(title[1].split())[:80]}”" if title else ""
    what = f"a web page{named}" if "html" in kind or body.lstrip()[:1] == "<" else f"no JSON ({kind or 'no type'})"
    return ServerError(
        ModelError(
            f"{file.api} answered with {what} instead of an OpenAI-compatible API (status {status}). Check the "
            "address, its port, and whether a login page or a proxy stands before the server.",
            detail=body[:2000],
        ),
        again=status in _AGAIN,
    )


def refused_error(file: RemoteFile, status: int, answer: object, wait: str = "") -> ServerError:
    """Return the error for a response with an error status."""
    message = error_message_in(answer)
    short = f" It says: {message.rstrip('.')[:400]}." if message else ""
    error: PaddockError
    if status in (401, 403):
        error = EnvironmentBroken(f"{file.address} {_about_key(file, status)}{short}", detail=message)
    elif status in (301, 302, 303, 307, 308):
        error = ModelError(f"{file.address} sends elsewhere (status {status}). Write the new address into the file.")
    elif status == 404:
        error = ModelError(
            f"{file.api} does not have what was asked for (status 404).{short} Check address and model.", detail=message
        )
    elif re.search(
        r"context length|maximum context|too long|exceed.{0,20}context|max_total_tokens|max_tokens", message
    ):
        error = PromptError(
            f"The server finds the prompt too long for its context.{short} Shorten the chat, lower Maximum reply "
            "length, or write the server's true context into the file, such as context: 4096.",
            detail=message,
        )
    elif status in (400, 413, 422):
        error = PromptError(
            f"{file.address} does not take this request (status {status}).{short} Change what it names.", detail=message
        )
    elif status == 429:
        error = PaddockError(f"{file.address} takes no more requests for now.{short} Wait a moment, then try again.")
    else:
        error = PaddockError(f"{file.address} failed (status {status}).{short} Look at the server's log, or try again.")
    try:
        seconds = min(30.0, max(0.0, float(wait)))
    except ValueError:
        seconds = 0.0
    elsewhere = status not in _EVERYWHERE and not isinstance(error, PromptError)
    return ServerError(
        error,
        again=status in _AGAIN,
        wait=seconds,
        status=status,
        elsewhere=elsewhere,
        dead=status not in _ALIVE,
    )


def error_message_in(answer: object) -> str:
    """Return the message of an error response, in any of the usual places."""
    found = answer
    for key in ("error", "detail", "message", "msg"):
        if isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, dict) and key in found:
            found = found[key]
    if isinstance(found, str):
        return " ".join(found.split())
    return json.dumps(found, ensure_ascii=False)[:400] if found else ""


def _about_key(file: RemoteFile, status: int) -> str:
    if not file.key_env:
        return (
            f"wants a key (status {status}). Put it into an environment variable, write the variable's name into the "
            "file (key_env: MY_SERVER_KEY), and start Paddock again."
        )
    return (
        f"does not take the key in the environment variable {file.key_env} (status {status}). Set the right one and "
        "start Paddock again."
    )
