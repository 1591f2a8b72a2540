"""Headers of every answer: what a browser may do with it, and that neither browser nor proxy stores or buffers it."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Files of Gradio's page whose names change with their contents.
_HASHED = re.compile(r"(?:/page-[\w-]+)?/assets/[^/]+-[\w-]{8}\.\w+")
_VERSIONED = re.compile(r"(?:/page-[\w-]+)?/(?:static/.*|theme\.css|favicon\.ico)")
_MARKUP = ("text/html", "application/xhtml", "image/svg", "text/xml", "application/xml")
_DATA = ("application/json", "text/event-stream")
_UPLOADED = re.compile(r"(?:/page-[\w-]+)?/gradio_api/file[=/].*")


def content_policy(nonce: str = "", inline_handlers: bool = False) -> str:
    """Return the Content-Security-Policy of a page: its own files and scripts with `nonce`, and no other host.

    unsafe-eval is needed because Gradio makes functions of the scripts of events (`js=`); markup cannot run code
    through it. Inline styles are allowed because Gradio's page has them in attributes.
    """
    scripts = ("'self'", *([f"'nonce-{nonce}'", "'unsafe-eval'"] if nonce else []))
    parts = {
        "default-src": "'self'",
        "script-src": " ".join(scripts),
        "script-src-attr": "'unsafe-inline'" if inline_handlers else "'none'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "frame-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


_SANDBOX = f"sandbox; {content_policy()}"


class HeadersMiddleware:
    """ASGI middleware that adds the headers that an answer does not set."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(MutableHeaders(scope=message), scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add(headers: MutableHeaders, path: str, status: int) -> None:
    kind = headers.get("content-type", "")
    if kind.startswith(_DATA):
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    else:
        sandboxed = _UPLOADED.fullmatch(path) and kind.startswith(_MARKUP)
        headers.setdefault("Content-Security-Policy", _SANDBOX if sandboxed else content_policy())
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    # Not no-referrer: with that, a browser sends null as the Origin of the page's own requests.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Cache-Control", _cache_control(path) if status in (200, 206, 304) else "no-store")
    if kind.startswith("text/event-stream"):
        # Without it, nginx and similar proxies buffer a stream.
        headers.setdefault("X-Accel-Buffering", "no")


def is_static(path: str) -> bool:
    """Return True for a path of a file that ships with the page and contains no user data."""
    return bool(_HASHED.fullmatch(path) or _VERSIONED.fullmatch(path)) or path.startswith("/paddock/static/")


def _cache_control(path: str) -> str:
    if _HASHED.fullmatch(path):
        return "private, max-age=31536000, immutable"
    return "no-cache" if _VERSIONED.fullmatch(path) else "no-store"
