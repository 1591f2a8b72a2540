"""The routes for attachments, under /paddock/attachments: take a file, and return it, its facts and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from modules.chat.attachments.attachment_store import Attachment
from modules.chat.parts import AUDIO, MEDIA
from modules.library.sizes import format_size
from modules.ui.number_format import clock, plural

if TYPE_CHECKING:
    from modules.app import App

# Reading a document takes a process of up to a gibibyte.
_AT_ONCE = 2
# Characters of a document's text that the page shows.
_SHOWN = 100_000
# A file is data: it runs nothing, and nothing may frame it.
_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def add_attachment_routes(routes: APIRouter, app: App) -> None:
    """Add the routes for the files of the App's account."""
    store, files = app.chats.attachments, app.chats.files
    limiter = CapacityLimiter(_AT_ONCE)

    def shown(one: Attachment) -> dict[str, object]:
        """Return what the page shows of a file before it is sent."""
        card = {"hash": one.hash, "name": one.name, "kind": one.kind}
        if one.kind in MEDIA:
            pixels = f"{one.width:,} × {one.height:,}" if one.width else ""
            length = clock(one.seconds) if one.kind == AUDIO else ""
            tokens = files.media_tokens(one.hash, one.name, one.kind)
            return {
                **card,
                "mime": one.mime,
                "label": " · ".join(filter(None, (format_size(one.size), pixels, length))),
                "length": "" if tokens is None else plural(tokens, "token"),
                "tokens": tokens or 0,
                "notes": [],
            }
        facts = files.facts(one.hash, one.name)
        label = document_label(one.size, facts.tokens, not facts.exact)
        return {**card, "label": label, "tokens": facts.tokens, "notes": list(facts.notes)}

    @routes.put("/attachments")
    async def attach(request: Request, name: str = "") -> dict[str, object]:
        """Store the file in the body."""
        content = await request.body()
        return await run_sync(lambda: shown(store.add(content, name)), limiter=limiter)

    @routes.get("/attachments/{hash}/facts")
    def facts(hash: str, name: str = "") -> dict[str, object]:
        return shown(store.find(hash, name))

    @routes.get("/attachments/{hash}/text")
    def text(hash: str, name: str = "") -> dict[str, object]:
        document = store.text(hash, name)
        notes = list(document.notes)
        if len(document.text) > _SHOWN:
            notes.append(f"The first {_SHOWN:,} of {len(document.text):,} characters are shown here.")
        return {"text": document.text[:_SHOWN], "notes": notes}

    @routes.get("/attachments/{hash}/file")
    def file(hash: str, name: str = "") -> Response:
        """Return an image to show, a sound to play, or a document to save: no document opens on this site."""
        one = store.find(hash, name)
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        if one.kind in MEDIA:
            return FileResponse(store.path(hash), media_type=one.mime, headers=headers)
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(one.name)}"
        return FileResponse(store.path(hash), media_type="application/octet-stream", headers=headers)


def document_label(size: int, tokens: float, estimated: bool) -> str:
    """Return the size of a document's file and the length of its text."""
    return f"{format_size(size)} · {'≈ ' if estimated else ''}{plural(int(tokens), 'token')}"
