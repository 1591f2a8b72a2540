"""The path under which a reverse proxy serves Paddock: taken off an address where the proxy left it on."""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# The page's own routes. Under the path /paddock, a proxy that takes the path off sends addresses that begin like these.
_OWN = re.compile(r"/paddock/(?:(?:static|chats|notebook|events|start|model)(?:/|$)|extensions/[^/]+/fault$)")


class RootPathMiddleware:
    """ASGI middleware, to be the outermost: all that is inside sees the addresses without the path."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._root and scope["type"] in ("http", "websocket"):
            path = scope["path"]
            if path == self._root and scope["type"] == "http":
                query = scope["query_string"].decode("latin-1")
                where = f"{quote(self._root)}/" + (f"?{query}" if query else "")
                await RedirectResponse(where, 308)(scope, receive, send)
                return
            if path.startswith(f"{self._root}/") and not _OWN.match(path):
                inner = path[len(self._root) :]
                scope = {**scope, "path": inner, "raw_path": quote(inner).encode()}
        await self._app(scope, receive, send)
