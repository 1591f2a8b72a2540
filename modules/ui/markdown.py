"""Markdown to safe HTML: no raw HTML passes but media of extensions, links go to http, https or mailto only, images
become links.

The page asks no other host for anything, so a picture that a model writes is a link that a person may click.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import MutableMapping, Sequence
from html import escape
from os.path import commonprefix
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from modules.ui.media import allow_media

_LINK = re.compile(r"^(https?://|mailto:)", re.IGNORECASE)
# Longer code is shown without colours: colouring is linear, but not free.
_HIGHLIGHT_LIMIT = 20_000
_CACHE_CHARACTERS = 4_000_000
_THOUGHT = re.compile(r"\A\s*<think>(.*?)(?:</think>|\Z)", re.DOTALL)
_LIST_ITEM = re.compile(r"([-*+]|\d{1,9}[.)])(\s|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def _allowed(url: str) -> bool:
    return bool(_LINK.match(url.strip()))


def _open_link(tokens: Sequence[Token], index: int, options: Any, env: Any, renderer: RendererHTML) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)


def _image_as_link(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    address = escape(str(token.attrs.get("src", "")), quote=True)
    words = escape(token.content or "image")
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">🖼 {words}</a>'


def _code(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = (token.info or "").strip().split(" ")[0][:40]
    return (
        f'<div class="code"><div class="code-head"><span>{escape(language) or "text"}</span>'
        '<button type="button" class="copy-code" aria-label="Copy this code">Copy</button></div>'
        f"<pre><code>{highlight(token.content, language)}</code></pre></div>\n"
    )


def highlight(code: str, language: str) -> str:
    """`code` as HTML with spans of Pygments' short classes; plain escaped text where the language is unknown."""
    if not language or len(code) > _HIGHLIGHT_LIMIT:
        return escape(code)
    from pygments import highlight as colour
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return str(colour(code, lexer, HtmlFormatter(nowrap=True)))


class Markdown:
    """A renderer that remembers what it rendered last, up to some millions of characters. Safe for any thread."""

    def __init__(self) -> None:
        parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
        parser.validateLink = _allowed  # type: ignore[method-assign]
        allow_media(parser)
        renderer: Any = parser.renderer
        rules: MutableMapping[str, Any] = renderer.rules
        rules["link_open"] = lambda tokens, index, options, env: _open_link(tokens, index, options, env, renderer)
        rules["image"] = lambda *given: _image_as_link(renderer, *given)
        rules["fence"] = lambda *given: _code(renderer, *given)
        rules["code_block"] = lambda *given: _code(renderer, *given)
        self._parser = parser
        self._cache: OrderedDict[str, str] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def fresh(self, text: str) -> str:
        """The HTML of `text`, not remembered."""
        thought = _THOUGHT.match(text)
        if thought is None:
            return str(self._parser.render(text))
        inner, rest = self._parser.render(thought.group(1).strip()), self._parser.render(text[thought.end() :])
        return f'<details class="thinking"><summary>Thoughts</summary>{inner}</details>{rest}'

    def render(self, text: str) -> str:
        """The HTML of `text`, from memory where it was rendered lately."""
        with self._lock:
            if text in self._cache:
                self._cache.move_to_end(text)
                return self._cache[text]
        html = self.fresh(text)
        with self._lock:
            if text not in self._cache:
                self._cache[text] = html
                self._held += len(text) + len(html)
            while self._held > _CACHE_CHARACTERS and len(self._cache) > 1:
                old, gone = self._cache.popitem(last=False)
                self._held -= len(old) + len(gone)
        return html


def settled_until(text: str, start: int) -> int:
    """How far, from `start`, the blocks of `text` are complete: nothing that comes later changes them.

    `start` lies outside a fence. A block ends at a blank line, once the next line shows that no list goes on.
    """
    # Thoughts at the beginning are one block.
    thought = None if start else _THOUGHT.match(text)
    if thought and not thought.group(0).endswith("</think>"):
        return 0
    begin = thought.end() if thought else start
    settled, candidate, fence, position = start, -1, "", begin
    for line in text[begin:].splitlines(keepends=True):
        body = line.strip()
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence) and not mark.group(2).strip():
                fence = ""
        elif not body:
            candidate = position + len(line)
        else:
            certain = line.endswith("\n") or len(line) > 12
            if candidate >= 0 and certain:
                if line[0] not in " \t" and not _LIST_ITEM.match(line):
                    settled = candidate
                candidate = -1
            if mark:
                fence = mark.group(1)
        position += len(line)
    return settled


class LivingMarkdown:
    """Renders a growing text again and again; settled blocks are rendered once, the tail anew."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown
        self._settled = 0
        self._tail = ""

    def update(self, text: str) -> dict[str, Any]:
        """What changed since the last call: `add`, HTML to put before the tail ("" if none), and the tail as
        `cut`, the characters of its old HTML to keep, and `tail`, what follows them."""
        until = settled_until(text, self._settled)
        add = self._markdown.fresh(text[self._settled : until]) if until > self._settled else ""
        self._settled = until
        tail = self._markdown.fresh(text[until:])
        kept = commonprefix((self._tail, tail))
        self._tail = tail
        # A script counts UTF-16 units.
        return {"add": add, "cut": len(kept.encode("utf-16-le", "surrogatepass")) // 2, "tail": tail[len(kept) :]}
