"""Sessions of people who logged in, each known by a random token in a cookie. They survive a restart.

The file has no token and no password: of a token its SHA-256, and of what the person logged in with a keyed hash, whose
key is the token. So a copy of the file opens nothing, and nothing in it can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from modules.files.data_files import DataFileError, read_json
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError

COOKIE = "paddock_session"
_IDLE_SECONDS = 14 * 86_400.0
_MOST = 1000
# How exactly the file knows when a session was used last. A write takes some milliseconds.
_SAVE_SECONDS = 3600.0
_LOG = logging.getLogger(__name__)


@dataclass
class _Session:
    """`name`: the account's. `login`: the keyed hash of what it logged in with. `used`: seconds since 1970."""

    name: str
    login: str
    used: float


class Sessions:
    """The sessions in a file. Only for use on the server's event loop. `path`: None keeps them in memory only."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        # By the hash of the token, the one that was used last at the end.
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._saved = clock()
        if path is not None:
            self._read(path)

    def begin(self, name: str, credentials: str) -> str:
        """Begin a session and return its token. `credentials`: what the account logs in with; see `began_with`."""
        token = secrets.token_urlsafe(32)
        self._sessions[_hash(token)] = _Session(name, _login(token, credentials), self._clock())
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        self._save()
        return token

    def name(self, token: str) -> str | None:
        """Return the name of the account whose session this is, or None without a session."""
        key = _hash(token)
        session = self._sessions.get(key)
        if session is None:
            return None
        now = self._clock()
        if now - session.used > _IDLE_SECONDS:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        if not 0 <= now - self._saved <= _SAVE_SECONDS:
            self._save()
        return session.name

    def began_with(self, token: str, credentials: str) -> bool:
        """Return True if the session began with these credentials."""
        session = self._sessions.get(_hash(token))
        return session is not None and hmac.compare_digest(session.login, _login(token, credentials))

    def end(self, token: str) -> None:
        """End a session."""
        if self._sessions.pop(_hash(token), None) is not None:
            self._save()

    def _save(self) -> None:
        self._saved = self._clock()
        if self._path is None:
            return
        values = {key: asdict(session) for key, session in self._sessions.items()}
        try:
            write_atomically(self._path, json.dumps(values))
        except PaddockError as error:
            # They work until a restart.
            _LOG.warning("Everyone has to log in again after a restart. %s", error.message)

    def _read(self, path: Path) -> None:
        """Read the file. If it is damaged, there is no session."""
        now, known = self._clock(), list[tuple[str, _Session]]()
        try:
            for key, entry in read_json(path).items():
                # One from the future, of a clock that was wrong, counts as used now.
                used = min(float(entry["used"]), now)
                known.append((key, _Session(str(entry["name"]), str(entry["login"]), used)))
        except FileNotFoundError:
            return
        except (DataFileError, TypeError, ValueError, KeyError, AttributeError) as error:
            _LOG.warning("%s could not be read (%s). Everyone has to log in again.", path.name, error)
            return
        known.sort(key=lambda one: one[1].used)
        self._sessions.update(known[-_MOST:])


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


def _login(token: str, credentials: str) -> str:
    return hmac.new(token.encode(), credentials.encode(), hashlib.sha256).hexdigest()
