"""Show pictures, sounds and videos that extensions put into a message: the tags that name a file of an extension.

A model may write such a tag too. It can then show the page's user a file in an extension's folder, but nothing else: no
other address, style or script passes. Browsers resolve `..` in an address, however it is encoded. So each address is
decoded until nothing is left to decode, checked, and written again from its parts.
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
# Scripts append a time to an address so that browsers load the file again.
_QUERY = re.compile(r"[\w.=&-]{0,100}", re.ASCII)
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
# No script encodes an address more often than this.
_DECODES = 8
_SIZE = re.compile(r"\d{1,4}")


def allow_media(parser: MarkdownIt) -> None:
    """Let the parser accept `<img>`, `<audio>` and `<video>` with files of extensions, and no other HTML."""
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
    """Return the element with its allowed attributes, or "" if its address is not allowed."""
    values = {name.lower(): unescape(one or two) for name, one, two in _ATTRIBUTE.findall(attributes)}
    source = values.get("src", "")
    address = source if tag == "img" and _DATA.fullmatch(source) else file_address(source)
    if not address:
        return ""
    allowed = {"src": address}
    allowed |= {name: values[name] for name in ("alt", "title") if name in values}
    allowed |= {name: values[name] for name in ("width", "height") if _SIZE.fullmatch(values.get(name, ""))}
    words = "".join(f' {name}="{escape(value, quote=True)}"' for name, value in allowed.items())
    # Without autoplay: a page that reloads would play all of them at once.
    return f'<img{words} loading="lazy">' if tag == "img" else f'<{tag}{words} controls preload="metadata"></{tag}>'


def file_address(address: str) -> str:
    """Return the address of an extension's file, relative to the page, or "" for every other address.

    modules/api/extension_routes.py serves these files as `/file/…`.
    """
    path, mark, query = address.strip(" ").partition("?")
    if "#" in address or not _QUERY.fullmatch(query):
        return ""
    for _ in range(_DECODES):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return ""
    first, *parts = path.removeprefix("/").split("/")
    # A script may use the absolute path of its file, which begins with a slash.
    named = parts[1:] if parts and not parts[0] else parts
    if first != "file" or not named or _UNSAFE.search(path):
        return ""
    if any(part.strip(". ") == "" for part in named):
        return ""
    return "/".join(["file", *(quote(part, errors="replace") for part in parts)]) + (f"?{query}" if mark else "")
