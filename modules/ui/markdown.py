"""Render Markdown as safe HTML.

Raw HTML becomes text, except the media of extensions. Links go to http, https and mailto only. An image becomes a link,
because the page must load nothing from other hosts.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import MutableMapping, Sequence
from hashlib import blake2b
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from modules.ui.code_colours import CodeColours
from modules.ui.formulas import show_formulas
from modules.ui.github_markdown import may_have_links, read_github_markdown
from modules.ui.media import allow_media

_LINK = re.compile(r"^(https?://|mailto:)", re.IGNORECASE)
# Code of more characters is shown without colours. Code that still grows is coloured again with each growth.
_MAX_COLOURED = 20_000
_MAX_COLOURED_GROWING = 4_000
# How many blocks of one text are coloured.
_MAX_BLOCKS = 100
_CACHE_CHARACTERS = 4_000_000
_LINE_END = re.compile(r"\r\n|\n|\r")
# A line that begins with one of these may become a list, a fence, a heading or a table once it is complete.
_MAY_BE_MARKS = (*" \t-*+#>|`~=_<[", *"0123456789")
# A growing block of at most so many characters, and so many of the marks that the parser's time grows with, is parsed
# in less than a millisecond.
_MAX_QUICK = 2_000
_SLOW_MARKS = ("```", "~~~", "$", "\\")
_MARKS, _MAX_MARKS = "[]!*_`~|:@\n", 50
# Its own words are marked for translate.js, because all others in a message stay as they are.
_IMAGE = '<span translate="yes">Image</span>'
# static/replies/code_blocks.js has what they do.
_CODE_BUTTONS = (
    '<button type="button" class="wrap-code" translate="yes"><span class="wraps">Wrap</span>'
    '<span class="unwraps">Unwrap</span></button>'
    '<button type="button" class="download-code" translate="yes" aria-label="Download this code">Download</button>'
    '<button type="button" class="copy-code" translate="yes" aria-label="Copy this code">Copy</button>'
)


def _allowed(url: str) -> bool:
    return bool(_LINK.match(url.strip()))


def _open_link(tokens: Sequence[Token], index: int, options: Any, env: Any, renderer: RendererHTML) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)


def _image_as_link(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: object) -> str:
    token = tokens[index]
    address = escape(str(token.attrs.get("src", "")), quote=True)
    words = escape(token.content) or _IMAGE
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">🖼 {words}</a>'


def _code(colours: CodeColours | None, tokens: Sequence[Token], index: int, env: dict[str, Any]) -> str:
    token = tokens[index]
    language = (token.info or "").strip().split(" ")[0][:40]
    coloured = None
    most = _MAX_COLOURED_GROWING if env.get("growing") else _MAX_COLOURED
    blocks = env.get("blocks", 0)
    if colours and language and len(token.content) <= most and blocks < _MAX_BLOCKS and not env.get("too_slow"):
        env["blocks"] = blocks + 1
        coloured = colours.colour(token.content, language)
        # After one slow block, the other blocks of the text stay plain.
        env["too_slow"] = coloured is None
    return (
        f'<div class="code"><div class="code-head"><span>{escape(language) or "text"}</span>{_CODE_BUTTONS}</div>'
        f"<pre><code>{coloured or escape(token.content)}</code></pre></div>\n"
    )


def _parser(colours: CodeColours | None, footnotes: bool = True, links: bool = True) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    read_github_markdown(parser, footnotes, links)
    parser.validateLink = _allowed  # type: ignore[method-assign]
    allow_media(parser)
    show_formulas(parser)
    renderer: Any = parser.renderer
    rules: MutableMapping[str, Any] = renderer.rules
    rules["link_open"] = lambda tokens, index, options, env: _open_link(tokens, index, options, env, renderer)
    rules["image"] = lambda *given: _image_as_link(renderer, *given)
    rules["fence"] = lambda tokens, index, options, env: _code(colours, tokens, index, env)
    rules["code_block"] = rules["fence"]
    return parser


class Markdown:
    """Renders Markdown, and caches some millions of characters of what it rendered last. Thread-safe.

    Without `colours`, code is plain.
    """

    def __init__(self, colours: CodeColours | None = None) -> None:
        self._parser = _parser(colours)
        # A footnote may come long after its mark, in a block that is not settled yet.
        self._growing_parser = _parser(colours, footnotes=False)
        self._without_links = _parser(colours, footnotes=False, links=False)
        self._cache: OrderedDict[str, str] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def fresh(self, text: str) -> str:
        """Return the HTML of `text` without the cache."""
        name = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest() if "[^" in text else ""
        return str(self._parser.render(text, {"docId": name}))

    def growing(self, text: str, start: int, env: dict[str, Any]) -> tuple[int, str, str]:
        """Return (how many characters after `start` no later text changes, their HTML, the HTML of the rest).

        `env` holds what the blocks of one text share, from one call to the next.
        """
        env["blocks"] = 0
        env["growing"] = False
        names = dict(env.get("references", {}))
        rest = text[start:]
        parser = self._growing_parser if may_have_links(rest) else self._without_links
        tokens = parser.parse(rest, env)
        index, size = _last_block(tokens, rest)
        renderer, options = parser.renderer, parser.options
        settled = str(renderer.render(tokens[:index], options, env)) if size else ""
        env["growing"] = True
        tail = str(renderer.render(tokens[index if size else 0 :], options, env))
        # The first definition of a name counts, and one in the rest may be incomplete.
        line = (tokens[index].map or [0])[0] if size else 0
        found = env.get("references", {})
        env["references"] = {key: kept for key, kept in found.items() if key in names or kept["map"][1] <= line}
        if size:
            return size, settled, tail
        return 0, "", tail

    def render(self, text: str) -> str:
        """Return the HTML of `text`, from the cache if it is there."""
        with self._lock:
            if text in self._cache:
                self._cache.move_to_end(text)
                return self._cache[text]
        html = self.fresh(text)
        with self._lock:
            if text not in self._cache:
                self._cache[text] = html
                self._cached += len(text) + len(html)
            while self._cached > _CACHE_CHARACTERS and len(self._cache) > 1:
                old, gone = self._cache.popitem(last=False)
                self._cached -= len(old) + len(gone)
        return html


class LivingMarkdown:
    """Renders a growing text: its settled blocks once, and its last block with each growth."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown
        self._settled = 0
        self._tail = ""
        # Link definitions of earlier blocks, and whether colouring took too long.
        self._env: dict[str, Any] = {}

    def is_quick(self, text: str) -> bool:
        """Return True if `update` takes less than a millisecond: a short last block without code or a formula."""
        rest = text[self._settled :]
        if len(rest) > _MAX_QUICK or any(mark in rest for mark in _SLOW_MARKS):
            return False
        return sum(map(rest.count, _MARKS)) <= _MAX_MARKS

    def update(self, text: str) -> dict[str, Any]:
        """Return what changed since the last call.

        `add` is HTML to put before the tail, or "". The tail's HTML is its first `cut` characters from before, counted
        in UTF-16 units as JavaScript does, and then `tail`.
        """
        size, add, tail = self._markdown.growing(text, self._settled, self._env)
        self._settled += size
        kept = tail[: _common_length(self._tail, tail)]
        self._tail = tail
        cut = len(kept.encode("utf-16-le", "surrogatepass")) // 2
        return {"add": add, "cut": cut, "tail": tail[len(kept) :]}


def _common_length(one: str, other: str) -> int:
    """Return how many characters both texts begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _last_block(tokens: Sequence[Token], text: str) -> tuple[int, int]:
    """Return (the index of the token, the index of the character) where the part begins that later text may change.

    Everything before it is settled: no later text changes a block once the next one has begun. A block has certainly
    begun when its first line is complete, or is too long to become a mark of another block.
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
