"""The formats of chats that Paddock writes for people and for other programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape

from markdown_it import MarkdownIt

from modules.chat.import_formats.textgen import GREETING_MARK
from modules.chat.messages import ChatHead, Message
from modules.chat.parts import file_parts

_STYLE = """body { font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c1c1a; background: #fdfdfb; overflow-wrap: break-word; }
h2 { font-size: 0.85rem; margin: 2rem 0 0.25rem; color: #62625c; }
article { border-bottom: 1px solid #ddd; } pre { overflow-x: auto; padding: 0.75rem; background: #f1f1ec; }
img { max-width: 100%; height: auto; border-radius: 8px; } a { color: inherit; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border: 1px solid #ccc; padding: 0.3rem; }
@media (prefers-color-scheme: dark) { body { color: #e8e8e2; background: #181816; } h2 { color: #a8a89f; }
  article { border-color: #3a3a36; } pre { background: #242421; } td, th { border-color: #555; } }"""
# What Markdown would read as markup in the name of a file.
_MARKUP, _ESCAPED = re.compile(r"([\\`*_\[\]<>])"), r"\\\1"
# The file shows nothing from elsewhere and runs nothing, whatever a message contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def _names(head: ChatHead) -> dict[str, str]:
    return {"user": "You", "assistant": head.character or "AI", "system": "System"}


def _with_names(message: Message) -> str:
    """Return the text of a message after the names of its files."""
    names = [f"[{_MARKUP.sub(_ESCAPED, part.text)}]" for part in file_parts(message.parts)]
    return "\n\n".join([*names, message.text.strip()])


def _shown_pictures(message: Message, pictures: Mapping[str, str]) -> str:
    images = [part for part in file_parts(message.parts) if part.meta.get("hash") in pictures]
    return "".join(f'<img src="{escape(pictures[part.meta["hash"]])}" alt="{escape(part.text)}">\n' for part in images)


def write_markdown(head: ChatHead, messages: Sequence[Message]) -> str:
    """Return the shown messages as Markdown, each under a heading with its speaker."""
    names = _names(head)
    parts = [f"# {head.title}", *(f"## {names[message.role]}\n\n{_with_names(message)}" for message in messages)]
    return "\n\n".join(parts) + "\n"


def write_html(head: ChatHead, messages: Sequence[Message], pictures: Mapping[str, str] | None = None) -> str:
    """Return the shown messages as one HTML file that needs no other. `pictures`: hash -> address with the content."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    names = _names(head)
    articles = "\n".join(
        f"<article><h2>{escape(names[message.role])}</h2>\n{_shown_pictures(message, pictures or {})}"
        f"{markdown.render(_with_names(message))}</article>"
        for message in messages
    )
    day = datetime.fromtimestamp(head.updated, timezone.utc).date().isoformat()
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY}">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(head.title)}</title><style>{_STYLE}</style></head>\n<body><h1>{escape(head.title)}</h1>\n"
        f"<p>{day}</p>\n{articles}\n</body></html>\n"
    )


def write_textgen(head: ChatHead, messages: Sequence[Message]) -> str:
    """Return the shown messages as a history of text-generation-webui: pairs of texts."""
    pairs: list[list[str]] = []
    for message in messages:
        if message.role == "user":
            pairs.append([message.raw, ""])
        elif message.role == "assistant" and pairs and not pairs[-1][1]:
            pairs[-1][1] = message.raw
        elif message.role == "assistant":
            pairs.append(["" if pairs else GREETING_MARK, message.raw])
    visible = [["" if user == GREETING_MARK else escape(user), reply] for user, reply in pairs]
    return json.dumps({"internal": pairs, "visible": visible}, ensure_ascii=False, indent=1) + "\n"


# Format -> the ending of its files, and what writes the shown messages. JSON has every version: ChatService.export.
TEXT_FORMATS: dict[str, tuple[str, Callable[[ChatHead, Sequence[Message]], str]]] = {
    "markdown": (".md", write_markdown),
    "html": (".html", write_html),
    "textgen": (".json", write_textgen),
}
