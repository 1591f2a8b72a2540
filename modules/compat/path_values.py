"""Computes the possible text values of expressions in a script's source, without running it.

Constants are followed through names, attributes, dictionaries, arguments and return values. Unknown parts are UNKNOWN
in the text. This is enough to read paths that are composed of parts.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

UNKNOWN = "\0"
# Limits: values per expression, nesting depth, and expressions per extension.
_MOST_VALUES = 24
_MOST_DEPTH = 24
_MOST_STEPS = 100_000
_LONGEST = 400
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "WindowsPath", "PurePosixPath"})
_SAME = frozenset(
    {"str", "abspath", "realpath", "normpath", "expanduser", "fspath", "resolve", "absolute", "as_posix", "strip"}
)
_JOINS = frozenset({"join", "joinpath"})
_PLACE = re.compile(r"%[sd]|\{[^{}]*\}")
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class PathValues:
    """The text values of the expressions in some files of one extension."""

    def __init__(self, trees: Sequence[ast.Module]) -> None:
        self._assigned: dict[str, list[ast.expr]] = {}
        self._keyed: dict[str, list[ast.expr]] = {}
        self._functions: dict[str, list[_Function]] = {}
        self._known: dict[int, frozenset[str]] = {}
        self._steps = 0
        nodes = [node for tree in trees for node in ast.walk(tree)]
        for node in nodes:
            self._define(node)
        for node in nodes:
            if isinstance(node, ast.Call):
                self._pass(node)

    def of(self, node: ast.expr | None, depth: int = 0) -> frozenset[str]:
        """Return the possible texts of an expression."""
        if node is None or depth > _MOST_DEPTH or self._steps > _MOST_STEPS:
            return frozenset({UNKNOWN})
        if id(node) not in self._known:
            self._steps += 1
            # In a recursive expression, the recursive part is unknown.
            self._known[id(node)] = frozenset({UNKNOWN})
            found = (_short(text) for text in self._values(node, depth + 1))
            self._known[id(node)] = frozenset(itertools.islice(found, _MOST_VALUES)) or frozenset({UNKNOWN})
        return self._known[id(node)]

    def _define(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if name := _last(target):
                    self._assigned.setdefault(name, []).append(node.value)
                elif isinstance(target, ast.Subscript) and (key := _text(target.slice)) is not None:
                    self._keyed.setdefault(key, []).append(node.value)
        elif isinstance(node, ast.Dict):
            for place, value in zip(node.keys, node.values, strict=True):
                if (key := _text(place)) is not None:
                    self._keyed.setdefault(key, []).append(value)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._functions.setdefault(node.name, []).append(node)
            names, defaults = [*node.args.posonlyargs, *node.args.args], node.args.defaults
            pairs = itertools.chain(
                zip(names[len(names) - len(defaults) :], defaults, strict=True),
                zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            )
            for argument, default in pairs:
                if default is not None:
                    self._assigned.setdefault(argument.arg, []).append(default)

    def _pass(self, call: ast.Call) -> None:
        """Record the arguments of a call to a function of the extension."""
        for function in self._functions.get(_last(call.func), ()):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            if names[:1] in (["self"], ["cls"]):
                names = names[1:]
            for name, value in zip(names, call.args, strict=False):
                self._assigned.setdefault(name, []).append(value)
            for keyword in call.keywords:
                if keyword.arg in names:
                    self._assigned.setdefault(str(keyword.arg), []).append(keyword.value)

    def _values(self, node: ast.expr, depth: int) -> Iterable[str]:
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [UNKNOWN]
        if isinstance(node, ast.JoinedStr):
            return self._combined("", node.values, depth)
        if isinstance(node, ast.FormattedValue):
            return self.of(node.value, depth)
        if isinstance(node, ast.BinOp):
            return self._operation(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._any(self._assigned.get(_last(node), ()), depth)
        if isinstance(node, ast.Subscript):
            key = _text(node.slice)
            return self._any(self._keyed.get(key, ()) if key is not None else (), depth)
        if isinstance(node, ast.IfExp):
            return self._any((node.body, node.orelse), depth)
        if isinstance(node, ast.BoolOp):
            return self._any(node.values, depth)
        return self.of(node.value, depth) if isinstance(node, ast.NamedExpr) else [UNKNOWN]

    def _operation(self, node: ast.BinOp, depth: int) -> Iterable[str]:
        if isinstance(node.op, ast.Add):
            return self._combined("", (node.left, node.right), depth)
        if isinstance(node.op, ast.Div):
            return self._combined("/", (node.left, node.right), depth)
        if isinstance(node.op, ast.Mod):
            parts = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            return self._filled(node.left, parts, depth)
        return [UNKNOWN]

    def _call(self, node: ast.Call, depth: int) -> Iterable[str]:
        name = _last(node.func)
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name in _PATHS:
            return self._combined("/", node.args, depth)
        if name in _JOINS and owner is not None:
            if isinstance(owner, ast.Constant) and isinstance(owner.value, str):
                parts = node.args[0] if node.args else None
                elements = parts.elts if isinstance(parts, (ast.List, ast.Tuple)) else []
                return self._combined(owner.value, elements, depth)
            # os.path.join(a, b), a_path.joinpath(b)
            return self._combined("/", node.args if name == "join" else [owner, *node.args], depth)
        if name == "format" and owner is not None:
            return self._filled(owner, [*node.args, *(keyword.value for keyword in node.keywords)], depth)
        if name in _SAME:
            return self.of(node.args[0] if node.args else owner, depth)
        returned = [value for function in self._functions.get(name, ()) for value in _returned(function)]
        return self._any(returned, depth)

    def _any(self, nodes: Iterable[ast.expr], depth: int) -> Iterable[str]:
        return [text for node in nodes for text in self.of(node, depth)] or [UNKNOWN]

    def _combined(self, between: str, nodes: Sequence[ast.expr], depth: int) -> Iterator[str]:
        """Yield the joined texts of some expressions."""
        for parts in itertools.product(*(self.of(node, depth) for node in nodes)):
            yield between.join(parts)

    def _filled(self, pattern: ast.expr, parts: Sequence[ast.expr], depth: int) -> Iterator[str]:
        """Yield a format text with its placeholders filled in."""
        for text, *values in itertools.product(self.of(pattern, depth), *(self.of(part, depth) for part in parts)):
            left = iter(values)
            yield _PLACE.sub(lambda _, left=left: next(left, UNKNOWN), text)  # type: ignore[misc]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + UNKNOWN


def _last(node: ast.expr) -> str:
    """Return the last name of an expression."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _returned(function: _Function) -> Iterator[ast.expr]:
    if isinstance(function, ast.Lambda):
        yield function.body
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
