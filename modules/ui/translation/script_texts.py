"""Find the texts in the page's scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pygments.lexers.javascript import JavascriptLexer
from pygments.token import Comment, Operator, String

from modules.ui.translation.markup_texts import numbered

# Stands for the operator that joins two literals.
_PLUS = "\1+"
# Names of keys, events, headers and methods, which are words but no texts.
_NOT_SHOWN = frozenset(
    ["Enter", "Escape", "Tab", "Backspace", "Delete", "Home", "End", "GET", "POST", "PUT", "DELETE", "RIFF", "Esc"]
    + ["Content-Type", "Shift", "Ctrl", "Mod"]
)


def script_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each text in a script. `${…}` becomes {0}, {1}, …; "a" + "b" is one text."""
    parts: list[str] = []
    first = 0
    joined = True
    for line, text in _literals(path.read_text(encoding="utf-8")):
        if text == _PLUS:
            joined = True
        elif text is None or not joined:
            yield from _whole(first, parts)
            parts, joined = ([], True) if text is None else ([text], False)
            first = line
        else:
            first = first if parts else line
            parts.append(text)
            joined = False
    yield from _whole(first, parts)


def _whole(line: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    text = numbered("".join(parts))
    if parts and is_shown(text):
        yield line, text


def _literals(source: str) -> Iterator[tuple[int, str | None]]:
    """Yield (line, text) of each string, with a null for each value in a template; _PLUS; and None for other code."""
    line, depth, template = 1, 0, ""
    open_template = False
    for kind, value in JavascriptLexer().get_tokens(source):
        if _is(kind, String.Interpol):
            depth += 1 if value == "${" else -1
            template += "\0" if value == "${" and depth == 1 else ""
        elif depth:
            pass
        elif _is(kind, String.Backtick):
            if value != "`":
                template += _unescaped(value)
            elif open_template:
                yield line, template
                template, open_template = "", False
            else:
                open_template = True
        elif _is(kind, String.Double) or _is(kind, String.Single):
            yield line, _unescaped(value[1:-1])
        elif _is(kind, Operator) and value == "+":
            yield line, _PLUS
        elif not _is(kind, Comment) and value.strip():
            yield line, None
        line += value.count("\n")


def _is(kind: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Return True if a kind of token is `wanted` or one of its kinds."""
    return kind[: len(wanted)] == wanted


def _unescaped(text: str) -> str:
    """Return what a literal means. The page's scripts escape only quotes, line breaks and code points."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text, flags=re.S)


def is_shown(text: str) -> bool:
    """Return True if a literal of a script is a text for people, as far as its form shows."""
    if not re.search(r"[A-Z][a-z]|[a-z] [a-z]|\},? [a-z]{2}", text) or not re.match(r"[A-Z“{]", text):
        return False
    words = re.sub(r"\{\d+\}", "", text).strip()
    if text in _NOT_SHOWN or text.startswith(("Arrow", "Page", "Mod+")) or len(re.findall(r"[A-Za-z]", words)) < 3:
        return False
    # One word such as NotAllowedError or MediaRecorder is a name in code.
    return not (" " not in text and re.search(r"[a-z][A-Z]|Error$|Event$|[_=<>]", text))
