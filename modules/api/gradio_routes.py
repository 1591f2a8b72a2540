"""Serve only the routes of Gradio's application that its page uses, and put a nonce into the page's scripts."""

from __future__ import annotations

import re
import secrets

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.headers import content_policy
from modules.app import App
from modules.plugins.inline_handlers import inline_handler
from modules.ui.extension_components import NONCE

_OWN = r"(?:/page-[\w-]+)?"
_HTML = re.compile(rf"{_OWN}/")
_FILES = r"config/?|favicon\.ico|robots\.txt|theme\.css|(?:assets|static|svelte)/.+"
_CALLS = (
    r"app_id/?|startup-events|theme\.css|info/?|upload|upload_progress|reset/?|cancel|component_server/?"
    r"|queue/(?:join|data|status)|run/.+|heartbeat/.+|stream/.+|file[=/].+|custom_component/.+"
)
# All other routes are Gradio's own services: its list of runs, its login, its proxy, its editor.
_SERVED = re.compile(rf"{_OWN}/(?:{_FILES}|gradio_api/(?:{_CALLS}))?", re.DOTALL)
# The page itself knows the address at which it was opened, also behind a proxy that does not report it.
_PLACE = """<script>(() => {
  const root = window.gradio_config.root;
  const real = new URL(root.slice(root.lastIndexOf("/") + 1), document.baseURI).href;
  if (root !== real) window.gradio_config = JSON.parse(JSON.stringify(window.gradio_config).replaceAll(root, real));
})();</script>"""
_CONFIG_END = "</script>"
_ROOT = re.compile(r'const root = "[^"\n]*";')
_ORIGIN = re.compile(rb"(https?)://([\w.:\[\]-]+)(?:/|$)", re.ASCII)
_MANIFEST = re.compile(r'<link rel="manifest"[^>]*>')
# Without an icon in the page, a browser asks for one at the root of the host, which may be another program.
_ICON = '<link rel="icon" href="paddock/static/icon.svg" type="image/svg+xml">'


class GradioRoutes:
    """ASGI application in front of Gradio's."""

    def __init__(self, page: ASGIApp, app: App) -> None:
        self._page = page
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _SERVED.fullmatch(scope["path"]):
            if scope["type"] == "http":
                await JSONResponse({"error": "Paddock serves nothing at this address. Open the page at /."}, 404)(
                    scope, receive, send
                )
            return
        scope = {**scope, "headers": with_page_origin(scope["headers"])}
        if not _HTML.fullmatch(scope["path"]):
            await self._page(scope, receive, send)
            return
        answer = _Rewritten(self._inline_handlers(), send)
        # A compressed page could not be changed.
        headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        await self._page({**scope, "headers": headers}, receive, answer.take)

    def _inline_handlers(self) -> bool:
        found = [running.source for running in self._app.extensions.running.in_order()]
        return any(inline_handler(one.path, one.sha256) for one in found)


class _Rewritten:
    """An answer. If it is HTML, each script that is part of the page gets a new nonce."""

    def __init__(self, inline_handlers: bool, send: Send) -> None:
        self._inline_handlers = inline_handlers
        self._send = send
        self._start: Message = {}
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """Take a message of the answer, and send the answer once it is complete."""
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
            headers[b"content-security-policy"] = content_policy(nonce, self._inline_handlers).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": bytes(self._body)})


def with_page_origin(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request with the address at which its page was opened, in a proxy's headers.

    Gradio puts that address into the addresses of files. The security middleware accepted the request, so the page is
    Paddock's own.
    """
    values = dict(headers)
    found = _ORIGIN.match(values.get(b"origin") or values.get(b"referer") or b"")
    if not found:
        return headers
    others = [pair for pair in headers if pair[0] not in (b"x-forwarded-host", b"x-forwarded-proto")]
    return [*others, (b"x-forwarded-proto", found[1]), (b"x-forwarded-host", found[2])]


def with_nonce(html: str, nonce: str) -> str:
    """Return Gradio's page with a nonce in its scripts. Its data escapes every `<`, so each `<script` is its own."""
    html = _MANIFEST.sub(_ICON, html)
    html = _ROOT.sub("const root = window.gradio_config.root;", html)
    html = html.replace(_CONFIG_END, _CONFIG_END + _PLACE, 1)
    return html.replace("<script", f'<script nonce="{nonce}"').replace(NONCE, nonce)
