"""Pictures and sounds that extensions put into a message: the few tags that can name a file of an extension's.

A model may write such a tag as well; it can then show what lies in an extension's folder to who sits before the page,
and nothing more: no other address, no style, no script passes. A browser makes another address of one with `..` in it,
however it is written, so each is decoded until nothing is left to decode, checked, and written again from its parts.
"""

from __future__ import annotations

import re
from html import escape, unescape
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

_TAG = re.compile(r"<(img|audio|video)\b([^<>]*)>(?:\s*</\1\s*>)?", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?<![\w:.-])([a-z]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
# Scripts put a time behind an address so that a browser asks for the file again.
_QUERY = re.compile(r"[\w.=&-]{0,100}", re.ASCII)
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
# An address that is encoded more often was not written by a script.
_DECODES = 8
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
    given_address = given.get("src", "")
    address = given_address if tag == "img" and _DATA.fullmatch(given_address) else file_address(given_address)
    if not address:
        return ""
    kept = {"src": address}
    kept |= {name: given[name] for name in ("alt", "title") if name in given}
    kept |= {name: given[name] for name in ("width", "height") if _SIZE.fullmatch(given.get(name, ""))}
    words = "".join(f' {name}="{escape(value, quote=True)}"' for name, value in kept.items())
    # A page that is loaded again would play all of them at once: nothing plays by itself.
    return f'<img{words} loading="lazy">' if tag == "img" else f'<{tag}{words} controls preload="metadata"></{tag}>'


def file_address(given: str) -> str:
    """The address of a file of an extension's (`/file/…` in modules/api/extension_routes.py), relative to the page; ""
    for every other address."""
    path, asked, query = given.strip(" ").partition("?")
    if "#" in given or not _QUERY.fullmatch(query):
        return ""
    for _ in range(_DECODES):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return ""
    first, *parts = path.removeprefix("/").split("/")
    # A script may name its file by its whole path, which begins with a slash.
    named = parts[1:] if parts and not parts[0] else parts
    if first != "file" or not named or _UNSAFE.search(path):
        return ""
    if any(part.strip(". ") == "" for part in named):
        return ""
    return "/".join(["file", *(quote(part, errors="replace") for part in parts)]) + (f"?{query}" if asked else "")
