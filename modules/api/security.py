"""Who may talk to this server: Host and Origin are checked on every request, and the secret where one is set."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from modules.config import Config

USER = "paddock"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """ASGI middleware. Another site's page must not drive Paddock through its user's browser, nor by DNS rebinding."""

    def __init__(self, app: Any, config: Config) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            status, reason = self.judge(headers)
            if reason:
                await _refuse(status, reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def judge(self, headers: dict[str, str]) -> tuple[int, str]:
        """(status, sentence) of a refusal, or (200, "")."""
        host = headers.get("host", "")
        if not self._config.listen and urlsplit(f"//{host}").hostname not in _LOCAL:
            return 403, f"Paddock serves this machine only, and {host!r} is another name. Open it as 127.0.0.1."
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host:
            return 403, "This request comes from another site's page, so it was refused."
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "This request comes from another site's page, so it was refused."
        if not self._known(headers.get("authorization", "")):
            return 401, f"Paddock wants the key or the password that it was started with (user name: {USER})."
        return 200, ""

    def _known(self, authorization: str) -> bool:
        wanted = [secret for secret in (self._config.password, self._config.api_key) if secret]
        if not wanted:
            return True
        kind, _, rest = authorization.partition(" ")
        if kind.lower() == "basic":
            try:
                rest = base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.lower() != "bearer":
            return False
        return any(secrets.compare_digest(rest.encode(), secret.encode()) for secret in wanted)


def _refuse(status: int, reason: str) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Basic realm="Paddock"'} if status == 401 else None
    return JSONResponse({"error": {"message": reason, "type": "refused"}}, status, headers)
