"""Remove the path under which a reverse proxy serves Paddock from addresses where the proxy left it."""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# The page's own routes. With the root path /paddock, a proxy that removes the path sends addresses that begin like
# these.
_OWN = re.compile(
    r"/paddock/(?:(?:static|chats|folders|prompts|notebooks?|events|start|model|models|workshop|attachments|tools|characters|personas|lorebooks|commands|voice|knowledge)(?:/|$)|extensions/[^/]+/fault$)"
)


class RootPathMiddleware:
    """ASGI middleware outside of all others. The application sees addresses without the path."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._root and scope["type"] in ("http", "websocket"):
            path = scope["path"]
            if path == self._root and scope["type"] == "http":
                query = scope["query_string"].decode("latin-1")
                target = f"{quote(self._root)}/" + (f"?{query}" if query else "")
                await RedirectResponse(target, 308)(scope, receive, send)
                return
            if path.startswith(f"{self._root}/") and not _OWN.match(path):
                inner = path[len(self._root) :]
                scope = {**scope, "path": inner, "raw_path": quote(inner).encode()}
        await self._app(scope, receive, send)
