"""Images in the messages that another server gets: as data, in the parts of OpenAI's API."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.families.message_content import image_paths
from modules.protocol.errors import PromptError

# Servers do not say how many tokens an image has before they read it. Most models take about so many.
TOKENS_OF_AN_IMAGE = 576


def with_images(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with the content of their images. Raises PromptError."""
    return [{**message, "content": _content(message["content"])} for message in messages]


def images_length(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return about how many tokens the images of a chat take."""
    return TOKENS_OF_AN_IMAGE * len(image_paths(messages))


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [_image(str(part["path"])) if part["type"] == "image" else part for part in content]


def _image(path: str) -> dict[str, Any]:
    try:
        data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    except OSError as error:
        raise PromptError(f"An image cannot be read ({error.strerror}). Attach it again.") from None
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
