"""Documents, images and sounds in the messages of a request: a document becomes its text, the others files for the
model."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from modules.api.media_parts import MediaPart, audio_data, image_data, media_places
from modules.chat.attachments.document_text import DocumentText, read_document_bytes
from modules.chat.attachments.model_images import ModelImages
from modules.chat.document_prompt import document_block
from modules.protocol.errors import SettingError, Unsupported

# Reading takes a process of up to a gibibyte.
_AT_ONCE = 2
_MOST_DOCUMENTS = 20
_MOST_MEDIA = 50


class DocumentReader:
    """Reads the documents, images and sounds of requests, a few at a time. Only for use on the server's event loop."""

    def __init__(self, images: ModelImages) -> None:
        self._images = images
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def read(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Replace each document in a request's messages by its text, and each image and sound by a MediaPart. Return
        sentences about what a text lacks.

        Raises SettingError, Unsupported, DocumentError, ImageError or AudioError.
        """
        for number, (parts, place) in enumerate(media_places(body)):
            if number >= _MOST_MEDIA:
                raise SettingError(f"A request can have at most {_MOST_MEDIA} images and sounds. Send fewer.")
            part = parts[place]
            is_audio = part["type"] == "input_audio"
            add, data = (self._images.add_audio, audio_data(part)) if is_audio else (self._images.add, image_data(part))
            path = await run_sync(add, data, limiter=self._limiter)
            parts[place] = MediaPart(type="audio" if is_audio else "image", path=path)
        notes: list[str] = []
        for number, part in enumerate(_documents(body)):
            if number >= _MOST_DOCUMENTS:
                raise SettingError(
                    f"A request can have at most {_MOST_DOCUMENTS} documents. Send fewer, or their text."
                )
            name, data = _data(part)
            found: DocumentText = await run_sync(read_document_bytes, data, name, limiter=self._limiter)
            part.clear()
            part |= {"type": "text", "text": document_block(found.name, found.text)}
            notes += [f"{found.name}: {note}" for note in found.notes]
        return tuple(notes)


def _documents(body: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the parts with documents: of OpenAI's chats, of its responses, and of Anthropic's messages."""
    for field in ("messages", "input"):
        messages = body.get(field)
        for message in messages if isinstance(messages, list) else []:
            parts = message.get("content") if isinstance(message, dict) else None
            for part in parts if isinstance(parts, list) else []:
                if isinstance(part, dict) and part.get("type") in ("file", "input_file", "document"):
                    source = part.get("source")
                    # What is text already stays as it is.
                    if not (isinstance(source, Mapping) and source.get("type") == "text"):
                        yield part


def _data(part: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the name and the content of a document. Raises SettingError or Unsupported."""
    if part["type"] == "document":
        source = part.get("source")
        source = source if isinstance(source, Mapping) else {}
        file = {"filename": part.get("title"), "file_data": source.get("data"), "file_url": source.get("url")}
    else:
        inner = part.get("file") if part["type"] == "file" else part
        file = dict(inner) if isinstance(inner, Mapping) else {}
    text = file.get("file_data")
    if not isinstance(text, str):
        if file.get("file_id") or file.get("file_url"):
            raise Unsupported("Documents are neither stored nor fetched here. Send the document itself in base64.")
        raise SettingError("A document needs its content in base64, such as 'file': {'filename', 'file_data'}.")
    given = file.get("filename")
    name = given.replace("\\", "/").rpartition("/")[2][:200] if isinstance(given, str) else ""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return name, base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise SettingError("The content of a document must be base64, perhaps after 'data:…;base64,'.") from None
