"""Check Host and Origin of every request, and the secret where one is set."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from modules.api.account_gate import AccountGate
from modules.api.authentication import LOGIN, LOGOUT, RIGHT_ELSEWHERE, check_secret, is_api
from modules.api.failed_logins import FailedLogins
from modules.api.headers import is_static
from modules.api.origin import check_host, check_origin, is_allowed_site
from modules.settings.config import Config

# With a second value, other code might read a different one.
_ONCE = ("host", "origin", "authorization", "x-api-key", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


class SecurityMiddleware:
    """ASGI middleware that refuses requests of other sites' pages, also by DNS rebinding, and wrong secrets."""

    def __init__(
        self, app: Any, config: Config, failed: FailedLogins | None = None, gate: AccountGate | None = None
    ) -> None:
        self._app = app
        self._config = config
        self._failed = failed or FailedLogins()
        self._gate = gate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            status, reason = self._failed.refusal(scope)
            if not reason:
                status, reason = self.check(scope)
            if reason:
                if reason not in RIGHT_ELSEWHERE:
                    await self._failed.slow_down(scope, status)
                await self._refuse(scope, status, reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def check(self, scope: Any) -> tuple[int, str]:
        """Return (status, sentence) of a refusal, or (200, "")."""
        names = [name for name, _ in scope["headers"]]
        for name in _ONCE:
            if names.count(name.encode()) > 1:
                return 400, f"The request has more than one {name} header. Send it once."
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_static(scope["path"]):
            # Browsers send an Origin for the page's scripts too. These must load, so that the page can show a refusal.
            headers.pop("origin", None)
        status, reason = check_host(self._config, headers)
        if reason:
            return status, reason
        status, reason = check_origin(self._config, scope.get("scheme", "http"), headers)
        other_site = bool(reason)
        if other_site and not (is_api(scope) and is_allowed_site(self._config, headers)):
            return status, reason
        gate = self._gate if self._gate and self._gate.closed else None
        if self._gate and not other_site and self._gate.admits_admin_key(scope, headers):
            return 200, ""
        if gate:
            if scope["path"] in (LOGIN, LOGOUT):
                return 200, ""
            status, reason = gate.check(scope, headers, bearer_only=other_site)
            if status != 401:
                return status, reason
        return check_secret(self._config, scope, headers, bearer_only=other_site, accounts=gate is not None)

    def _refuse(self, scope: Any, status: int, reason: str) -> Response:
        if status == 401 and self._gate and self._gate.closed:
            if _opens_a_page(scope):
                # Relative, because a proxy may serve Paddock under a path that it does not know.
                up = "../" * (scope["path"].count("/") - 1)
                return RedirectResponse(f"{up}{LOGIN[1:]}", 303)
            return _refusal(status, reason)
        # The browser asks its user for a password.
        headers = {"WWW-Authenticate": 'Basic realm="Paddock", charset="UTF-8"'} if status == 401 else None
        return _refusal(status, reason, headers)


def _opens_a_page(scope: Any) -> bool:
    accept = dict(scope["headers"]).get(b"accept", b"")
    return scope["type"] == "http" and scope["method"] == "GET" and b"text/html" in accept


def _refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"message": reason, "type": "refused"}}, status, headers)
