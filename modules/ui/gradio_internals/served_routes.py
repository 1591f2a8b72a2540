"""Serves the parts of Gradio's application that its page uses, and puts a nonce into the page's scripts.

Leans on the paths of Gradio's application, on its use of `x-forwarded-proto` and `x-forwarded-host` for the addresses
of files, and on its page being one HTML answer.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.ui.gradio_internals.page_html import with_nonce

# Each build of the page has its own prefix (mount.py).
_BUILD = r"(?:/page-[\w-]+)?"
_HTML = re.compile(rf"{_BUILD}/")
_FILES = r"config/?|favicon\.ico|robots\.txt|theme\.css|(?:assets|static|svelte)/.+"
_CALLS = (
    r"app_id/?|startup-events|theme\.css|info/?|upload|upload_progress|reset/?|cancel|component_server/?"
    r"|queue/(?:join|data|status)|run/.+|heartbeat/.+|stream/.+|file[=/].+|custom_component/.+"
)
# The other routes are for Gradio's own services: its list of runs, its login, its proxy and its editor.
_SERVED = re.compile(rf"{_BUILD}/(?:{_FILES}|gradio_api/(?:{_CALLS}))?", re.DOTALL)
_ORIGIN = re.compile(rb"(https?)://([\w.:\[\]-]+)(?:/|$)", re.ASCII)


class GradioRoutes:
    """ASGI application in front of Gradio's. `policy` returns the Content-Security-Policy of a page for a nonce."""

    def __init__(self, page: ASGIApp, policy: Callable[[str], str]) -> None:
        self._page = page
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _SERVED.fullmatch(scope["path"]):
            if scope["type"] == "http":
                error = {"error": "Paddock serves nothing at this address. Open the page at /."}
                await JSONResponse(error, 404)(scope, receive, send)
            return
        scope = {**scope, "headers": with_page_origin(scope["headers"])}
        if not _HTML.fullmatch(scope["path"]):
            await self._page(scope, receive, send)
            return
        answer = _Rewritten(self._policy, send)
        # A compressed answer could not be changed.
        headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        await self._page({**scope, "headers": headers}, receive, answer.take)


class _Rewritten:
    """An answer whose HTML gets a new nonce in each script of the page."""

    def __init__(self, policy: Callable[[str], str], send: Send) -> None:
        self._policy = policy
        self._send = send
        self._start: Message = {}
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """Take a message of the page's answer. The answer is sent once it is complete."""
        if message["type"] == "http.response.start":
            self._start = message
        if message["type"] != "http.response.body":
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        headers = {name.lower(): value for name, value in self._start["headers"]}
        if headers.get(b"content-type", b"").startswith(b"text/html") and self._body:
            nonce = secrets.token_urlsafe(16)
            self._body[:] = with_nonce(self._body.decode(), nonce).encode()
            headers[b"content-length"] = str(len(self._body)).encode()
            headers[b"content-security-policy"] = self._policy(nonce).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": bytes(self._body)})


def with_page_origin(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a request's headers with the address at which its page was opened, in the form in which a proxy sends it.

    Gradio uses it in the addresses of files. The request has passed api/security.py, so the page is Paddock's own.
    """
    named = dict(headers)
    found = _ORIGIN.match(named.get(b"origin") or named.get(b"referer") or b"")
    if not found:
        return headers
    others = [pair for pair in headers if pair[0] not in (b"x-forwarded-host", b"x-forwarded-proto")]
    return [*others, (b"x-forwarded-proto", found[1]), (b"x-forwarded-host", found[2])]
