"""Limits on the size and the pace of request bodies. Bytes are counted as they arrive, not as a header claims."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MB = 1024 * 1024
# Bodies that are read into memory. Files go to Gradio's upload, which writes them to disk as they arrive.
MOST = 16 * _MB
MOST_OF_EXTENSIONS = 64 * _MB
MOST_OF_UPLOADS = 1024 * _MB
# More than an attachment may have, so that its own limit answers with a sentence about the file.
MOST_OF_ATTACHMENTS = 64 * _MB
# Exports of all chats of a person are large. Larger ones are imported with `webui.py chats import`.
MOST_OF_IMPORTS = 256 * _MB
# Seconds that any body may take, and the rate at which a larger one must arrive.
FIRST_SECONDS = 30.0
BYTES_PER_SECOND = 1024.0


def most_bytes(path: str) -> int:
    """Return the largest body in bytes that is accepted at a path."""
    if path.endswith("/gradio_api/upload"):
        return MOST_OF_UPLOADS
    if path.endswith("/paddock/chats/import"):
        return MOST_OF_IMPORTS
    if path.endswith(("/paddock/attachments", "/paddock/knowledge/files", "/paddock/characters/import")):
        return MOST_OF_ATTACHMENTS
    return MOST_OF_EXTENSIONS if path.startswith(("/extensions/", "/v1/audio/")) else MOST


class BodyLimitMiddleware:
    """ASGI middleware outside of all that reads bodies. To the application, a refused body is a client that hung up."""

    def __init__(self, app: ASGIApp, first_seconds: float = FIRST_SECONDS) -> None:
        self._app = app
        self._first_seconds = first_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._first_seconds)
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > body.most:
            await body.refuse(413)
            return
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            # The request was answered already; the application's error follows from that.
            if not body.refused:
                raise


class _Body:
    """The body of one request as it arrives."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, first_seconds: float) -> None:
        self.most = most_bytes(scope["path"])
        self.refused = False
        self._scope, self._receive, self._send = scope, receive, send
        self._size = 0
        self._whole = self._started = False
        self._begun: float | None = None
        self._first_seconds = first_seconds

    async def receive(self) -> Message:
        """Return the next part of the body."""
        if self.refused:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._begun = self._begun or now
        left = self._begun + self._first_seconds + self._size / BYTES_PER_SECOND - now
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except asyncio.TimeoutError:
            return await self._refused(408)
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return await self._refused(413) if self._size > self.most else message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if not self.refused:
            self._started = True
            await self._send(message)

    async def refuse(self, status: int) -> None:
        """Answer in place of the application."""
        sentences = {
            408: "The body of this request arrived too slowly. Send it again.",
            413: f"The body of this request is larger than {self.most // _MB} MB. Send less at once.",
        }
        self.refused = True
        answer = JSONResponse({"error": {"message": sentences[status], "type": "refused"}}, status)
        await answer(self._scope, self._receive, self._send)

    async def _refused(self, status: int) -> Message:
        if not self._started:
            await self.refuse(status)
        self.refused = True
        return {"type": "http.disconnect"}
