"""Images and sounds in the messages of a request: each becomes a part with a file that the model gets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modules.families.audio_file import MP3, WAV
from modules.families.message_content import Content
from modules.protocol.errors import SettingError, Unsupported

_KINDS = ("image_url", "input_image", "image", "input_audio")
_FORMATS = (WAV, MP3)
_DATA = (
    "An image must be sent as data, such as 'data:image/png;base64,…'. Images are not fetched from addresses: send the "
    "image itself."
)


class MediaPart(dict[str, object]):
    """{"type": "image" or "audio", "path"}. A separate class, so that no client can name a path: JSON makes plain
    objects."""


def media_places(body: Mapping[str, object]) -> Iterator[tuple[list[Any], int]]:
    """Yield (list of parts, place) for each image and sound: in OpenAI's chats and responses, and in Anthropic's
    messages."""
    for field in ("messages", "input"):
        messages = body.get(field)
        for message in messages if isinstance(messages, list) else []:
            for name in ("content", "output"):
                yield from _places(message.get(name) if isinstance(message, dict) else None)


def _places(parts: Any) -> Iterator[tuple[list[Any], int]]:
    for place, part in enumerate(parts if isinstance(parts, list) else []):
        if isinstance(part, dict) and part.get("type") in _KINDS:
            yield parts, place
        elif isinstance(part, dict) and part.get("type") == "tool_result":
            yield from _places(part.get("content"))


def audio_data(part: Mapping[str, object]) -> bytes:
    """Return the file of a part of the type input_audio. Raises SettingError."""
    given = part.get("input_audio")
    if not isinstance(given, Mapping) or not isinstance(given.get("data"), str):
        raise SettingError("A part of the type input_audio must have an 'input_audio': {'data', 'format'}.")
    if given.get("format") not in _FORMATS:
        raise SettingError(f"The 'format' of a sound must be {' or '.join(_FORMATS)}. Send it as one of these.")
    data = given["data"]
    return _decoded(data.partition(",")[2] if data.startswith("data:") else data, "a sound")


def image_data(part: Mapping[str, object]) -> bytes:
    """Return the file of an image part. Raises SettingError or Unsupported."""
    if part["type"] == "image":
        source = part.get("source")
        source = source if isinstance(source, Mapping) else {}
        if source.get("type") != "base64":
            raise Unsupported(_DATA)
        return _decoded(source.get("data"))
    address = part.get("image_url")
    address = address.get("url") if isinstance(address, Mapping) else address
    if not isinstance(address, str):
        raise SettingError(f"A part of the type {part['type']} must have an 'image_url'. {_DATA}")
    begin, comma, data = address.partition(",")
    if not (begin.startswith("data:") and comma and begin.endswith(";base64")):
        raise Unsupported(_DATA)
    return _decoded(data)


def _decoded(data: object, what: str = "an image") -> bytes:
    try:
        return base64.b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError):
        raise SettingError(f"The data of {what} must be base64.") from None


def join_parts(parts: Sequence[str | MediaPart]) -> Content:
    """Return the content of a message: a text, or a list if there are images or sounds. Texts in a row are joined."""
    if not any(isinstance(part, MediaPart) for part in parts):
        return "\n".join(str(part) for part in parts)
    found: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, MediaPart):
            found.append(part)
        elif found and found[-1]["type"] == "text":
            found[-1] = {"type": "text", "text": f"{found[-1]['text']}\n{part}"}
        elif part:
            found.append({"type": "text", "text": part})
    return found
