r"""Find the formulas in Markdown and show them as MathML: `$…$`, `$$…$$`, `\(…\)`, `\[…\]` and `\begin{…}…\end{…}`.

As in Pandoc, a dollar sign begins a formula if no space follows it. One ends a formula if no space precedes it and no
digit follows it, so that prices stay text. A formula that is a block may have several lines, but no empty one. One that
cannot be converted, or has not ended yet, stays as it is written.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from modules.ui.mathml import to_mathml

_ENDS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_BEGIN = re.compile(r"\\begin\{([A-Za-z]{1,20}\*?)\}")
# The parser looks no further than so many characters for the end of a formula.
_MAX_LENGTH = 4_000
_DOLLARS = re.compile(r"\$(?![\s$])((?:[^$\\]|\\.)+?)(?<!\s)\$(?!\d)", re.DOTALL)


def show_formulas(parser: MarkdownIt) -> None:
    """Let the parser find formulas, and show them. What was converted is kept in the text's `env`."""
    parser.block.ruler.before("fence", "formula", _block, {"alt": ["paragraph", "blockquote", "list"]})
    parser.inline.ruler.before("escape", "formula", _inline)
    parser.add_render_rule("formula", _render)
    parser.add_render_rule("formula_block", _render_block)


def _render(renderer: object, tokens: Any, index: int, options: Any, env: Any) -> str:
    content = tokens[index].content
    return _mathml(content, env) or escape(content).replace("\n", "<br>\n")


def _render_block(renderer: object, tokens: Any, index: int, options: Any, env: Any) -> str:
    shown = _mathml(tokens[index].content, env, block=True)
    if shown:
        return f'<div class="formula">{shown}</div>\n'
    return f"<p>{_render(renderer, tokens, index, options, env)}</p>\n"


def _mathml(content: str, env: dict[str, Any], block: bool = False) -> str:
    """Return a formula with its marks as MathML, or "". A block of a growing text is drawn again and again."""
    done: dict[tuple[str, bool], str] = env.setdefault("formulas", {})
    if (content, block) not in done:
        mark, close = _marks(content)
        block_marks = mark in ("$$", "\\[") or mark.startswith("\\begin")
        if not mark:
            inner = content[1:-1]
        elif len(content) < len(mark) + len(close) or not content.endswith(close):
            return ""
        else:
            inner = content if mark.startswith("\\begin") else content[len(mark) : -len(close)]
        done[content, block] = to_mathml(inner, block or block_marks)
    return done[content, block]


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    mark, close = _marks(first)
    if not close or mark == "\\(":
        return False
    # If text follows on the same line, this is a paragraph that contains the formula.
    if (place := first.find(close, len(mark))) >= 0 and first[place + len(close) :].strip():
        return False
    line = start
    while place < 0 and line + 1 < end and not state.isEmpty(line + 1) and state.sCount[line + 1] >= state.blkIndent:
        line += 1
        place = state.src.find(close, state.bMarks[line], state.eMarks[line])
        if place >= 0 and state.src[place + len(close) : state.eMarks[line]].strip():
            return False
    # The end of a reply in progress is missing. A mark alone on its line begins a formula anyway.
    if place < 0 and first.strip() != mark:
        return False
    if not silent:
        token = state.push("formula_block", "", 0)
        token.content = state.getLines(start, line + 1, state.blkIndent, False).strip()
        token.map = [start, line + 1]
        state.line = line + 1
    return True


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "\\$":
        return False
    most = min(state.posMax, state.pos + _MAX_LENGTH)
    mark, close = _marks(state.src[state.pos : state.pos + 40])
    if close:
        end = state.src.find(close, state.pos + len(mark), most)
        end = end + len(close) if end > state.pos + len(mark) else -1
    else:
        found = _DOLLARS.match(state.src, state.pos, most)
        end = found.end() if found else -1
    if end < 0:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _marks(text: str) -> tuple[str, str]:
    """Return (the mark that `text` begins with, the mark that ends the formula), or "" twice for other text and `$`."""
    if begin := _BEGIN.match(text):
        return begin[0], f"\\end{{{begin[1]}}}"
    return (text[:2], _ENDS[text[:2]]) if text[:2] in _ENDS else ("", "")
