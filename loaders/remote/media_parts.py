"""Images and sounds in the messages that another server gets: as data, in the parts of OpenAI's API."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.families.audio_file import TOKENS_PER_SECOND, audio_format, read_length
from modules.families.message_content import MEDIA, media_paths
from modules.protocol.errors import PromptError

# Servers do not say how many tokens an image has before they read it. Most models take about so many.
_TOKENS_OF_AN_IMAGE = 576


def with_media(messages: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return the messages with the content of their images and sounds. Raises PromptError."""
    return [{**message, "content": _content(message["content"])} for message in messages]


def media_length(messages: Sequence[Mapping[str, object]]) -> int:
    """Return about how many tokens the images and sounds of a chat take. Raises PromptError."""
    return files_length(media_paths(messages))


def files_length(paths: Sequence[str]) -> int:
    """Return about how many tokens the images and sounds at these paths take. Raises PromptError."""
    return sum(
        _TOKENS_OF_AN_IMAGE if path.endswith(".png") else int(TOKENS_PER_SECOND * read_length(path)) + 1
        for path in paths
    )


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(part["type"], str(part["path"])) if part["type"] in MEDIA else part for part in content]


def _part(type: str, path: str) -> dict[str, object]:
    try:
        data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    except OSError as error:
        what = "An image" if type == "image" else "A sound"
        raise PromptError(f"{what} cannot be read ({error.strerror}). Attach it again.") from None
    if type == "image":
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return {"type": "input_audio", "input_audio": {"data": data, "format": audio_format(path)}}
