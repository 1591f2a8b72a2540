"""The content of a message in a chat: a text, or a list of texts, images and sounds.

A part is {"type": "text", "text": text}, or {"type": "image" or "audio", "path": absolute path of a file}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# How texts, images and sounds of one message are joined where a template takes only a text.
_BETWEEN = "\n"
# The types of parts that are files, and how a template that writes them itself looks for them. Mostly it asks first
# whether a content is a text.
_READS = {
    "image": re.compile(r"""['"]image(?:_url)?['"]"""),
    "audio": re.compile(r"""['"](?:input_)?audio(?:_url)?['"]"""),
}
_READS_TEXTS = re.compile(r"is\s+(?:not\s+)?(?:string|iterable|sequence|mapping)")
MEDIA = tuple(_READS)


# What a message's content may be.
Part = dict[str, Any]
Message = Mapping[str, Any]
Content = str | list[Part]


def content_text(content: object) -> str:
    """Return the text of a content, without its images and sounds."""
    if not isinstance(content, list):
        return "" if content is None else str(content)
    return _BETWEEN.join(str(part["text"]) for part in content if part.get("type") == "text")


def is_blank(content: object) -> bool:
    """Return True if a content has no text, images or sounds."""
    return not content_text(content).strip() and not _media(content)


def replace_text(content: Any, text: str) -> Any:
    """Return a content with another text. Its images and sounds stay, before the text where that has changed."""
    if not (media := _media(content)):
        return text
    return content if content_text(content) == text else [*media, *_parts(text)]


def join_contents(first: Any, second: Any) -> Any:
    """Return the content of two messages that become one."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def media_parts(messages: Iterable[Message]) -> list[Part]:
    """Return the parts of a chat that are images or sounds, in their order."""
    return [part for message in messages for part in _media(message.get("content"))]


def media_paths(messages: Iterable[Message], *types: str) -> list[str]:
    """Return the paths of all images and sounds in a chat, in their order. `types`: only of these, such as "image"."""
    return [str(part["path"]) for part in media_parts(messages) if not types or part["type"] in types]


def add_text(content: object, text: str) -> Any:
    """Return a content that ends with `text`."""
    if not isinstance(content, list):
        return content_text(content) + text
    *before, last = content or [{}]
    if last.get("type") == "text":
        return [*before, {**last, "text": f"{last['text']}{text}"}]
    return [*content, {"type": "text", "text": text}]


def mark_media(messages: Sequence[Message], marks: Mapping[str, str], template: str, typed: bool) -> list[Part]:
    """Return the messages as a chat template takes them, with images and sounds but without their paths.

    `marks`: by the type of a part, what stands for one in a prompt. `typed`: a template that reads parts of a type gets
    {"type": "image"} and writes it as its model needs it. Any other one gets the mark in the text. A mark that someone
    typed is broken up, because each mark must have its file. A template that reads nothing but parts gets texts as
    parts too.
    """
    reads = frozenset(type for type, pattern in _READS.items() if pattern.search(template))
    only_parts = bool(reads) and not _READS_TEXTS.search(template)
    return [_marked(message, marks, reads if typed else frozenset(), only_parts) for message in messages]


def _marked(message: Message, marks: Mapping[str, str], reads: frozenset[str], only_parts: bool) -> Part:
    content = message.get("content")
    if content is None:
        return {**message}
    parts = [
        part if part["type"] in MEDIA else {**part, "text": _without_marks(str(part["text"]), marks)}
        for part in _parts(content)
    ]
    types = {str(part["type"]) for part in parts if part["type"] in MEDIA}
    if types <= reads and (types or (only_parts and reads)):
        return {**message, "content": [_typed(part) for part in parts]}
    whole = _BETWEEN.join(marks[part["type"]] if part["type"] in MEDIA else part["text"] for part in parts)
    return {**message, "content": [{"type": "text", "text": whole}] if only_parts else whole}


def _typed(part: Message) -> Part:
    return {"type": part["type"]} if part["type"] in MEDIA else {"type": "text", "text": part["text"]}


def _without_marks(text: str, marks: Mapping[str, str]) -> str:
    for mark in filter(None, marks.values()):
        text = text.replace(mark, f"{mark[:1]} {mark[1:]}")
    return text


def _parts(content: object) -> list[Part]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _media(content: object) -> list[Part]:
    parts = content if isinstance(content, list) else []
    return [part for part in parts if part.get("type") in MEDIA]
