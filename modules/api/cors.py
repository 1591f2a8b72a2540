"""Let pages of chosen other sites use the API (CORS). No other site may without --cors-allow-origin.

Such a page sends its key in a header that its script sets. What a browser adds on its own, such as a saved password or
a cookie, does not count for it, so that no site acts in the name of a user who only opened it.
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from modules.api.authentication import METHODS, is_api
from modules.settings.access import Access


class ApiCorsMiddleware:
    """ASGI middleware outside of the check of secrets: a browser asks without one whether it may send a request."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._cors = app
        if access.cors_origins:
            self._cors = CORSMiddleware(
                app,
                allow_origins=access.cors_origins,
                allow_methods=METHODS,
                allow_headers=["*"],
                allow_private_network=True,
                expose_headers=["Retry-After", "X-Paddock-Warning"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._cors if is_api(scope) else self._app)(scope, receive, send)
