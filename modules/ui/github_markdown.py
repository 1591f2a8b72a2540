"""GitHub's Markdown beyond CommonMark: tables, strikethrough, task lists, alerts, bare links and footnotes.

The names of footnotes get the text's own prefix (`env["docId"]`), because a page shows many texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.gfm import gfm_plugin
from mdit_py_plugins.gfm_autolink.index import _protocol_rule

# What the parser writes above an alert, here for the catalogs of translations.
ALERT_TITLES = ("Note", "Tip", "Important", "Warning", "Caution")
_FOOTNOTES = ("footnote_def", "footnote_ref", "footnote_tail")
# The library looks through all the text before each colon. So it sees only those that can belong to an address, and
# none after so much text without any mark or line end.
_PROTOCOLS = ("http", "https", "mailto")
_MOST_PENDING = 1_500


# A text without these has no bare link.
_LINK_MARKS = ("://", "www.", "@", "mailto:")
_OPTIONS = ("tasklists", "alerts", "strikethrough_single_tilde")


def may_have_links(text: str) -> bool:
    """Return True if the text may have a bare link."""
    return any(mark in text for mark in _LINK_MARKS)


def read_github_markdown(parser: MarkdownIt, footnotes: bool = True, links: bool = True) -> None:
    """Let the parser read GitHub's Markdown. Without `footnotes` their marks stay text, without `links` bare links do.

    Looking for links costs a third more time.
    """
    if links:
        gfm_plugin(parser)
        parser.inline.ruler.at("gfm_autolink_protocol", _bare_address)
        if not footnotes:
            parser.disable(list(_FOOTNOTES))
    else:
        parser.enable(["table", "strikethrough"])
        for name in _OPTIONS:
            parser.options[name] = True
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    parser.add_render_rule("alert_title_open", _open_title)
    parser.add_render_rule("alert_title_close", _close_title)
    if links:
        parser.add_render_rule("footnote_anchor", _footnote_anchor)
        parser.add_render_rule("footnote_caption", _footnote_caption)


def _bare_address(state: StateInline, silent: bool) -> bool:
    place = state.pos
    if state.src[place] != ":" or not state.src.endswith(_PROTOCOLS, 0, place) or len(state.pending) > _MOST_PENDING:
        return False
    return _protocol_rule(state, silent)


# A wide table scrolls inside of its frame.
def _open_table(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'<div class="table">{renderer.renderToken(tokens, index, options, env)}'


def _close_table(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return f"{renderer.renderToken(tokens, index, options, env).rstrip()}</div>\n"


# `bdi`, because the first words of a message decide the direction of the message.
def _open_title(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'{renderer.renderToken(tokens, index, options, env)}<bdi translate="yes">'


def _close_title(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return f"</bdi>{renderer.renderToken(tokens, index, options, env).rstrip()}\n"


def _footnote_caption(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    return str(tokens[index].meta["id"] + 1)


def _footnote_anchor(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    name = renderer.rules["footnote_anchor_name"](tokens, index, options, env)
    again = f":{number}" if (number := tokens[index].meta.get("subId", -1)) > 0 else ""
    return (
        f' <a href="#fnref{name}{again}" class="footnote-backref" translate="yes" aria-label="Back to the text">'
        "↩\ufe0e</a>"
    )
