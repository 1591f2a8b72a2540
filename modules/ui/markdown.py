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

from modules.ui.code_colours import CodeColours
from modules.ui.formulas import keep_formulas
from modules.ui.media import allow_media

_LINK = re.compile(r"^(https?://|mailto:)", re.IGNORECASE)
# Longer code is shown without colours, and code that still grows is coloured again and again.
_MOST_COLOURED = 20_000
_MOST_COLOURED_GROWING = 4_000
# Blocks of one text that are coloured at most.
_MOST_BLOCKS = 100
_CACHE_CHARACTERS = 4_000_000
_THOUGHT = re.compile(r"\A\s*<think>(.*?)(?:</think>|\Z)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\n|\r")
# A line that begins so may be a list's, a fence's, a heading's or a table's once it is whole.
_MAY_BE_MARKS = (*" \t-*+#>|`~=_<[", *"0123456789")


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


def _code(colours: CodeColours | None, tokens: Sequence[Token], index: int, env: dict[str, Any]) -> str:
    token = tokens[index]
    language = (token.info or "").strip().split(" ")[0][:40]
    coloured = None
    most = _MOST_COLOURED_GROWING if env.get("growing") else _MOST_COLOURED
    blocks = env.get("blocks", 0)
    if colours and language and len(token.content) <= most and blocks < _MOST_BLOCKS and not env.get("too_slow"):
        env["blocks"] = blocks + 1
        coloured = colours.colour(token.content, language)
        # One block that is slow is enough to wait for.
        env["too_slow"] = coloured is None
    return (
        f'<div class="code"><div class="code-head"><span>{escape(language) or "text"}</span>'
        '<button type="button" class="copy-code" aria-label="Copy this code">Copy</button></div>'
        f"<pre><code>{coloured or escape(token.content)}</code></pre></div>\n"
    )


class Markdown:
    """A renderer that remembers what it rendered last, up to some millions of characters. Safe for any thread.

    Without `colours`, code is plain.
    """

    def __init__(self, colours: CodeColours | None = None) -> None:
        parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
        parser.validateLink = _allowed  # type: ignore[method-assign]
        allow_media(parser)
        keep_formulas(parser)
        renderer: Any = parser.renderer
        rules: MutableMapping[str, Any] = renderer.rules
        rules["link_open"] = lambda tokens, index, options, env: _open_link(tokens, index, options, env, renderer)
        rules["image"] = lambda *given: _image_as_link(renderer, *given)
        rules["fence"] = lambda tokens, index, options, env: _code(colours, tokens, index, env)
        rules["code_block"] = rules["fence"]
        self._parser = parser
        self._cache: OrderedDict[str, str] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def fresh(self, text: str) -> str:
        """The HTML of `text`, not remembered."""
        env: dict[str, Any] = {}
        thoughts, rest = self._thoughts(text, env)
        return thoughts + str(self._parser.render(text[rest:], env))

    def growing(self, text: str, start: int, env: dict[str, Any]) -> tuple[int, str, str]:
        """(the characters after `start` that nothing later changes, their HTML, the HTML of the rest).

        `env` holds what the blocks of one text share, from one call to the next.
        """
        env["blocks"] = 0
        env["growing"] = False
        names = dict(env.get("references", {}))
        thoughts, begin = ("", start) if start else self._thoughts(text, env)
        tokens = self._parser.parse(rest := text[begin:], env)
        index, size = _last_block(tokens, rest)
        renderer, options = self._parser.renderer, self._parser.options
        settled = str(renderer.render(tokens[:index], options, env)) if size else ""
        env["growing"] = True
        tail = str(renderer.render(tokens[index if size else 0 :], options, env))
        # The first definition of a name counts, and one in the rest may not be whole.
        line = (tokens[index].map or [0])[0] if size else 0
        found = env.get("references", {})
        env["references"] = {key: kept for key, kept in found.items() if key in names or kept["map"][1] <= line}
        if size:
            return begin + size - start, thoughts + settled, tail
        return 0, "", thoughts + tail

    def _thoughts(self, text: str, env: dict[str, Any]) -> tuple[str, int]:
        """The HTML of the thoughts that `text` begins with, and where they end."""
        thought = _THOUGHT.match(text)
        if thought is None:
            return "", 0
        inner = self._parser.render(thought.group(1).strip(), env)
        return f'<details class="thinking"><summary>Thoughts</summary>{inner}</details>', thought.end()

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


class LivingMarkdown:
    """Renders a growing text again and again; settled blocks are rendered once, the last one each time."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown
        self._settled = 0
        self._tail = ""
        # Addresses that earlier blocks gave names, and whether colouring took too long.
        self._known: dict[str, Any] = {}

    def update(self, text: str) -> dict[str, Any]:
        """What changed since the last call: `add`, HTML to put before the tail ("" if none), and the tail as
        `cut`, the characters of its old HTML to keep, and `tail`, what follows them."""
        size, add, tail = self._markdown.growing(text, self._settled, self._known)
        self._settled += size
        kept = commonprefix((self._tail, tail))
        self._tail = tail
        # A script counts UTF-16 units.
        return {"add": add, "cut": len(kept.encode("utf-16-le", "surrogatepass")) // 2, "tail": tail[len(kept) :]}


def _last_block(tokens: Sequence[Token], text: str) -> tuple[int, int]:
    """(the index of the token, the character of `text`) where the last block begins that later text may still change.

    All before it is settled: nothing that comes later reaches into a block once the next one has begun. One has begun
    for certain when its first line is whole, or is too long to become a mark of anything.
    """
    starts = [index for index, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0 and token.map]
    if not starts:
        return 0, 0
    lines = [0, *(found.end() for found in _LINE_END.finditer(text))]
    index = starts[-1]
    line = (tokens[index].map or [0])[0]
    begin = lines[line]
    first = text[begin : lines[line + 1]] if line + 1 < len(lines) else text[begin:]
    whole = first.endswith(("\n", "\r"))
    apart = line > 0 and not text[lines[line - 1] : begin].strip() and first[:1] not in _MAY_BE_MARKS
    if whole or (apart and len(first) > 12):
        return index, begin
    if len(starts) < 2:
        return 0, 0
    index = starts[-2]
    return index, lines[(tokens[index].map or [0])[0]]
