"""Pictures and sounds that extensions put into a message: the few tags that can name a file of an extension's.

A model may write such a tag as well; it can then show what lies in an extension's folder to who sits before the page,
and nothing more: no other address, no style, no script passes.
"""

from __future__ import annotations

import re
from html import escape, unescape

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

_TAG = re.compile(r"<(img|audio|video)\b([^<>]*)>(?:\s*</\1\s*>)?", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-z]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_FILE = re.compile(r"/?file/(?!.*\.\./)[^\\\s]+|data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
_SIZE = re.compile(r"\d{1,4}")


def allow_media(parser: MarkdownIt) -> None:
    """Let `<img>`, `<audio>` and `<video>` of extensions' files through, and nothing else of HTML."""
    parser.inline.ruler.before("autolink", "media", _rule)
    parser.add_render_rule("media", lambda renderer, tokens, index, options, env: tokens[index].content)


def _rule(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    found = _TAG.match(state.src, state.pos)
    markup = found and _markup(found.group(1).lower(), found.group(2))
    if not found or not markup:
        return False
    if not silent:
        state.push("media", "", 0).content = markup
    state.pos = found.end()
    return True


def _markup(tag: str, attributes: str) -> str:
    """The element, rebuilt from what is allowed of it; "" where its address is not."""
    given = {name.lower(): unescape(one or two) for name, one, two in _ATTRIBUTE.findall(attributes)}
    address = given.get("src", "")
    if not _FILE.fullmatch(address) or (tag != "img" and address.startswith("data:")):
        return ""
    if not address.startswith("data:"):
        address = f"/{address.lstrip('/')}"
    kept = {"src": address}
    kept |= {name: given[name] for name in ("alt", "title") if name in given}
    kept |= {name: given[name] for name in ("width", "height") if _SIZE.fullmatch(given.get(name, ""))}
    words = "".join(f' {name}="{escape(value, quote=True)}"' for name, value in kept.items())
    # A page that is loaded again would play all of them at once: nothing plays by itself.
    return f'<img{words} loading="lazy">' if tag == "img" else f'<{tag}{words} controls preload="metadata"></{tag}>'
