"""Who may talk to this server: Host and Origin are checked on every request, and the secret where one is set."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from modules.api.failed_secrets import FailedSecrets
from modules.api.headers import is_static
from modules.api.origin import judge_origin
from modules.api.secret import KEY_ONLY, judge_secret
from modules.settings.config import Config

# A second one could say something else to whatever reads the other.
_ONCE = ("host", "origin", "authorization", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


class SecurityMiddleware:
    """ASGI middleware. Another site's page must not drive Paddock through its user's browser, nor by DNS rebinding."""

    def __init__(self, app: Any, config: Config) -> None:
        self._app = app
        self._config = config
        self._failed = FailedSecrets()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            status, reason = self._failed.refusal(scope)
            if not reason:
                status, reason = self.judge(scope)
            if reason:
                if reason != KEY_ONLY:  # That key is right, if not here: nobody guesses.
                    await self._failed.slow_down(scope, status)
                await _refuse(status, reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def judge(self, scope: Any) -> tuple[int, str]:
        """(status, sentence) of a refusal, or (200, "")."""
        names = [name for name, _ in scope["headers"]]
        for name in _ONCE:
            if names.count(name.encode()) > 1:
                return 400, f"The request has more than one {name} header. Send it once."
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_static(scope["path"]):
            # Browsers send an Origin for the page's scripts too. With them, the page can say why the rest is refused.
            headers.pop("origin", None)
        status, reason = judge_origin(self._config, scope.get("scheme", "http"), headers)
        return (status, reason) if reason else judge_secret(self._config, scope, headers)


def _refuse(status: int, reason: str) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Basic realm="Paddock", charset="UTF-8"'} if status == 401 else None
    return JSONResponse({"error": {"message": reason, "type": "refused"}}, status, headers)
