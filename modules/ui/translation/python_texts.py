"""Find the texts that Python code shows on the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from modules.ui.translation.markup_texts import texts_in_markup

# Arguments whose value is shown, of any call: components of Gradio, and setting().
_NAMED = frozenset({"label", "info", "help", "placeholder", "title", "unit", "group"})
# A text that begins so is markup.
_MARKUP = re.compile(r"\s*<[a-z]+[ >]")
# Calls whose first argument is shown.
_FIRST = frozenset({"Button", "button", "Tab", "Accordion", "paragraph", "toast", "Failed"})


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each text that a file shows. Values in a text become {0}, {1}, …"""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, text in _markup(tree):
        yield from texts_in_markup(text, line)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            shown = [keyword.value for keyword in node.keywords if keyword.arg in _NAMED]
            if node.args and (_name(node.func) in _FIRST or _is_raised(node)):
                shown.append(node.args[0])
            for value in shown:
                yield from _texts_in(value)
            for value in node.args[:1]:
                if isinstance(value, ast.List):
                    yield from _choices(value)
            if _name(node.func) == "append" and node.args:
                yield from _sentences(node.args[0])
            if _name(node.func) == "plural" and (noun := literal(node.args[-1])):
                yield from ((node.lineno, text) for text in (f"1 {noun}", f"{{0}} {noun}s"))
        elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple, ast.Dict)):
            yield from _choices(node.value, _is_of_titles(node))
        elif isinstance(node, ast.Assign):
            yield from _texts_in(node.value) if _is_constant_text(node) else _sentences(node.value)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield from _sentences(node.value)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_constant_text(node: ast.Assign) -> bool:
    """Return True for `NAME = "Words"`, such as the name of a group of settings."""
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    value = node.value.value if isinstance(node.value, ast.Constant) else None
    if not names or not names[0].isupper() or not isinstance(value, str):
        return False
    return bool(re.fullmatch(r"[A-Z](?:[a-z]+| [a-z]).*", value, re.S))


def _is_of_titles(node: ast.Assign) -> bool:
    """Return True for `TITLES = (…)`, whose values are shown even where they are single words."""
    return any(isinstance(target, ast.Name) and target.id.endswith("TITLES") for target in node.targets)


def _markup(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each text that is markup, whole."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        text = literal(node) if isinstance(node, ast.expr) else None
        if text is None:
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, ast.expr) and _MARKUP.match(text):
            yield node.lineno, text


def _is_raised(call: ast.Call) -> bool:
    return _name(call.func).endswith("Error")


def _texts_in(node: ast.expr) -> Iterator[tuple[int, str]]:
    """Yield the text of a literal, also of both halves of `a if b else c`."""
    if isinstance(node, ast.IfExp):
        yield from _texts_in(node.body)
        yield from _texts_in(node.orelse)
    elif (text := literal(node)) is not None:
        yield node.lineno, text


def _choices(node: ast.List | ast.Tuple | ast.Dict, are_titles: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the labels of choices, [("Label", value), …], and the values of a table of labels."""
    entries = node.values if isinstance(node, ast.Dict) else node.elts
    for entry in entries:
        if isinstance(entry, ast.Tuple) and entry.elts:
            yield from _texts_in(entry.elts[0])
        elif isinstance(entry, ast.Constant) and isinstance(entry.value, str) and (are_titles or " " in entry.value):
            yield entry.lineno, entry.value


def _sentences(node: ast.expr) -> Iterator[tuple[int, str]]:
    """Yield a text that a function returns, if it is a sentence."""
    for line, text in _texts_in(node):
        if " " in text and text[:1].isupper() and text.endswith("."):
            yield line, text


def literal(node: ast.expr) -> str | None:
    """Return the text of a string, an f-string or their sum, or None for anything else."""
    parts = _parts(node)
    if parts is None:
        return None
    count = 0
    text = ""
    for part in parts:
        if part is None:
            text += f"{{{count}}}"
            count += 1
        else:
            text += part
    return text


def _parts(node: ast.expr) -> list[str | None] | None:
    """Return the literal parts, with None for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [part.value if isinstance(part, ast.Constant) else None for part in node.values]  # type: ignore[misc]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _parts(node.left), _parts(node.right)
        return None if left is None or right is None else left + right
    return None
