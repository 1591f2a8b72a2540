"""The content of a message in a chat: a text, or a list of texts and images.

A part is {"type": "text", "text": text} or {"type": "image", "path": absolute path of a file}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# How texts and images of one message are joined where a template takes only a text.
_BETWEEN = "\n"
# A template that writes images itself looks for parts of this type, and mostly asks first whether a content is a text.
_READS_IMAGES = re.compile(r"""['"]image(?:_url)?['"]""")
_READS_TEXTS = re.compile(r"is\s+(?:not\s+)?(?:string|iterable|sequence|mapping)")


# What a message's content may be.
Content = str | list[dict[str, Any]]


def content_text(content: object) -> str:
    """Return the text of a content, without its images."""
    if not isinstance(content, list):
        return "" if content is None else str(content)
    return _BETWEEN.join(str(part["text"]) for part in content if part.get("type") == "text")


def is_blank(content: object) -> bool:
    """Return True if a content has neither text nor images."""
    return not content_text(content).strip() and not _images(content)


def replace_text(content: Any, text: str) -> Any:
    """Return a content with another text. Its images stay, before the text where that has changed."""
    if not _images(content):
        return text
    images = [part for part in content if part.get("type") == "image"]
    return content if content_text(content) == text else [*images, *_parts(text)]


def join_contents(first: Any, second: Any) -> Any:
    """Return the content of two messages that become one."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def image_paths(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the paths of all images in a chat, in their order."""
    return [path for message in messages for path in _images(message.get("content"))]


def add_text(content: object, text: str) -> Any:
    """Return a content that ends with `text`."""
    if not isinstance(content, list):
        return content_text(content) + text
    *before, last = content or [{}]
    if last.get("type") == "text":
        return [*before, {**last, "text": f"{last['text']}{text}"}]
    return [*content, {"type": "text", "text": text}]


def mark_images(messages: Sequence[Mapping[str, Any]], mark: str, template: str, typed: bool) -> list[dict[str, Any]]:
    """Return the messages as a chat template takes them, with images but without their paths.

    `typed`: a template that reads parts gets {"type": "image"} and writes an image as its model needs it. Any other one
    gets `mark` in the text. A mark that someone typed is broken up, because each mark must have its image. A template
    that reads nothing but parts gets texts as parts too.
    """
    reads_images = _READS_IMAGES.search(template) is not None
    only_parts = reads_images and not _READS_TEXTS.search(template)
    return [_marked(message, mark, typed and reads_images, only_parts) for message in messages]


def _marked(message: Mapping[str, Any], mark: str, as_parts: bool, only_parts: bool) -> dict[str, Any]:
    content = message.get("content")
    if content is None:
        return {**message}
    texts = [None if part["type"] == "image" else _without_mark(str(part["text"]), mark) for part in _parts(content)]
    if as_parts and (only_parts or None in texts):
        parts = [{"type": "image"} if text is None else {"type": "text", "text": text} for text in texts]
        return {**message, "content": parts}
    whole = _BETWEEN.join(mark if text is None else text for text in texts)
    return {**message, "content": [{"type": "text", "text": whole}] if only_parts else whole}


def _without_mark(text: str, mark: str) -> str:
    return text.replace(mark, f"{mark[:1]} {mark[1:]}") if mark else text


def _parts(content: object) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _images(content: object) -> list[str]:
    parts = content if isinstance(content, list) else []
    return [str(part["path"]) for part in parts if part.get("type") == "image"]
