"""The page's routes to save chats as files and to add those of files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from modules.chat.chat_downloads import file_name, pack, write_text
from modules.chat.chat_reader import read_chat_file
from modules.chat.messages import ChatHead
from modules.chat.training_data import write_training
from modules.protocol.errors import PaddockError
from modules.ui.number_format import plural

if TYPE_CHECKING:
    from modules.app import App

_TRAINING = "training"
# A download is a file, whatever a message contains: it never opens on this site.
_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


def add_transfer_routes(routes: APIRouter, app: App) -> None:
    """Add the routes of exports and imports below /paddock/chats."""
    chats = app.chats

    def text(head: ChatHead, kind: str) -> str:
        return write_text(kind, head, lambda: chats.messages(head.id), lambda: chats.export(head.id), chats.attachments)

    def training(heads: Sequence[ChatHead]) -> Response:
        rows = [(chats.messages(head.id), app.chat_preferences.options(head.id).system) for head in heads]
        return _download("training.jsonl", write_training(rows).encode("utf-8", "replace"))

    @routes.get("/chats/export")
    def export_many(format: str = "json", ids: Annotated[str, Query(alias="chats")] = "") -> Response:
        """Return a ZIP archive with a file for each chat; all chats if none are named."""
        wanted = [one for one in ids.split(",") if one]
        heads = [chats.head(one) for one in wanted] or [head for head in chats.chats() if not head.temporary]
        if not heads:
            raise PaddockError("There are no chats to export yet.")
        if format == _TRAINING:
            return training(heads)
        return _download("chats.zip", pack([(file_name(head, format), text(head, format)) for head in heads]))

    @routes.get("/chats/{chat_id}/export")
    def export(chat_id: str, format: str = "json") -> Response:
        head = chats.head(chat_id)
        if format == _TRAINING:
            return training([head])
        content = text(head, format)
        return _download(file_name(head, format), content.encode("utf-8", "replace"))

    @routes.put("/chats/import")
    async def add(request: Request) -> dict[str, Any]:
        """Add the chats of the file in the body."""
        content = await request.body()
        return await run_in_threadpool(read, content)

    def read(content: bytes) -> dict[str, Any]:
        found, others = read_chat_file(content, time.time())
        added = [head.id for head in chats.add_chats(found)]
        skipped = f" {others} without readable messages were left out." if others else ""
        return {"chats": added, "sentence": f"{plural(len(added), 'chat')} imported.{skipped}"}


def _download(name: str, content: bytes) -> Response:
    headers = {**_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type="application/octet-stream", headers=headers)
