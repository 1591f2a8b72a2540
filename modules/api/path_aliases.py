"""Further addresses of routes of the API, at which clients of other servers look for them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

# Those of llama.cpp's server and vLLM, and of Cohere's second API.
ALIASES = {"/rerank": "/v1/rerank", "/reranking": "/v1/reranking", "/v2/rerank": "/v1/rerank"}


class PathAliasMiddleware:
    """ASGI middleware outside of all checks, so that a POST to an alias is checked and recorded as one to its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (path := ALIASES.get(scope["path"])):
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)
