"""Sessions of people who logged in, each known by a random token in a cookie. A restart ends all of them."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modules.settings.accounts import Account

COOKIE = "paddock_session"
_IDLE_SECONDS = 14 * 86_400.0
_MOST = 10_000


@dataclass
class _Session:
    """`account`: as it was at the login, None for the owner."""

    account: Account | None
    used: float


class Sessions:
    """The sessions. Only for use on the server's event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By the hash of the token.
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, account: Account | None) -> str:
        """Begin a session and return its token."""
        token = secrets.token_urlsafe(32)
        self._sessions[_hash(token)] = _Session(account, self._clock())
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str) -> tuple[bool, Account | None]:
        """Return (True, the account of a session or None for the owner), or (False, None) without a session."""
        key = _hash(token)
        session = self._sessions.get(key)
        if session is None:
            return False, None
        now = self._clock()
        if now - session.used > _IDLE_SECONDS:
            del self._sessions[key]
            return False, None
        session.used = now
        self._sessions.move_to_end(key)
        return True, session.account

    def end(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_hash(token), None)


def token_of(headers: Mapping[str, str]) -> str:
    """Return the token in the cookie of a request, or ""."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def cookie(token: str, root_path: str, secure: bool) -> str:
    """Return the Set-Cookie header of a session; an empty token removes the cookie.

    No script reads it, and other sites' requests do not carry it. `secure`: it is sent over HTTPS only.
    """
    age = f"; Max-Age={int(_IDLE_SECONDS)}" if token else "; Max-Age=0"
    return f"{COOKIE}={token}; Path={root_path or ''}/; HttpOnly; SameSite=Lax{age}" + ("; Secure" if secure else "")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
