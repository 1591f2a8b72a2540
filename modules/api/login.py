"""The login page of accounts, at /login, and the end of a session, at /logout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from modules.api.authentication import LOGIN, LOGOUT, is_secret
from modules.api.failed_logins import FailedLogins
from modules.api.sessions import Sessions, cookie, token_of
from modules.protocol.errors import PaddockError
from modules.settings.access import Access
from modules.settings.accounts import OWNER, Account, Accounts, admin_key_account

_PAGE = Path(__file__).parent / "login.html"
_WRONG = "The name or the password is wrong."
_BUSY = "Too many people are logging in. Try again in a minute."
# Each check takes 64 MiB and a tenth of a second, so they run one after another.
_MOST_WAITING = 32
_MOST_FIELDS = 10


class _Login:
    """Checks names and passwords, and begins and ends sessions."""

    def __init__(self, access: Access, accounts: Accounts, sessions: Sessions, failed: FailedLogins) -> None:
        self._access = access
        self._accounts = accounts
        self._sessions = sessions
        self._failed = failed
        self._checking = asyncio.Lock()
        self._waiting = 0

    def show(self, problem: str = "", status: int = 200, name: str = "") -> Response:
        """Return the login page, with a sentence if something is wrong. `name`: what was typed as the name."""
        html = _PAGE.read_text(encoding="utf-8")
        # The name last, as a person may have typed anything.
        html = html.replace("{{problem}}", escape(problem)).replace("{{name}}", escape(name))
        return HTMLResponse(html, status)

    async def begin(self, request: Request) -> Response:
        """Begin a session if name and password are right."""
        try:
            fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
        except ValueError:
            return self.show("This is not what the form sends. Fill in name and password.", 400)
        name, password = (fields.get(field, [""])[0] for field in ("name", "password"))
        if self._waiting >= _MOST_WAITING:
            return self.show(_BUSY, 429, name)
        try:
            right, account = await self._check(name.strip().lower(), password)
        except PaddockError as error:  # The file of accounts cannot be read.
            return self.show(error.message, 503, name)
        if not right:
            await self._failed.slow_down(request.scope, 401)
            return self.show(_WRONG, 401, name)
        self._sessions.end(token_of(request.headers))
        credentials = account.credentials if account else self._access.password
        return self._go("./", self._sessions.begin(account.name if account else OWNER, credentials), request)

    def end(self, request: Request) -> Response:
        """End the session."""
        self._sessions.end(token_of(request.headers))
        return self._go(LOGIN[1:], "", request)

    async def _check(self, name: str, password: str) -> tuple[bool, Account | None]:
        if name == OWNER:
            word = password.encode()
            if is_secret(word, self._access.admin_key):
                return True, admin_key_account(self._access.admin_key)
            return is_secret(word, self._access.password), None
        self._waiting += 1
        try:
            # Not on threads, of which there are few: they would be missing elsewhere.
            async with self._checking:
                account = await run_in_threadpool(self._accounts.check, name, password)
        finally:
            self._waiting -= 1
        return account is not None, account

    def _go(self, address: str, token: str, request: Request) -> Response:
        # The address is relative, because a proxy may serve Paddock under a path that it does not know.
        forwarded = request.headers.get("x-forwarded-proto", "").startswith("https")
        secure = request.url.scheme == "https" or forwarded or self._access.public_origin.startswith("https")
        headers = {"Set-Cookie": cookie(token, self._access.root_path, secure)}
        return RedirectResponse(address, 303, headers)


def router(
    access: Access, accounts: Accounts, sessions: Sessions, failed: FailedLogins, closed: Callable[[], bool]
) -> APIRouter:
    """Return the routes for logging in and out. `closed`: returns True while people have to log in."""
    routes, login = APIRouter(), _Login(access, accounts, sessions, failed)

    @routes.get(LOGIN)
    def show() -> Response:
        return login.show() if closed() else RedirectResponse("./", 303)

    @routes.post(LOGIN)
    async def begin(request: Request) -> Response:
        return await login.begin(request)

    @routes.post(LOGOUT)
    async def end(request: Request) -> Response:
        return login.end(request)

    return routes
