"""The tool `calculate`: arithmetic of one line, with bounds so that no expression takes long."""

from __future__ import annotations

import ast
import math
import operator
import threading
from collections.abc import Callable, Mapping
from typing import Any

from modules.plugins.tools.tool import Tool, ToolError, text_argument

_LONGEST = 1_000
# Bits of a whole number: one operation takes less than a millisecond, and Python can write it down (4,300 digits).
_MOST_BITS = 14_000
_MOST_ROUNDED = 1_000
_LARGEST_FACTORIAL = 1_000
_NAMES: dict[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def calculate(expression: str) -> str:
    """Return the value of an expression as text. Raises ToolError."""
    text = expression.strip().rstrip("=").strip().replace("^", "**").replace("×", "*").replace("÷", "/")
    text = text.replace("−", "-").replace("π", "pi")
    if len(text) > _LONGEST:
        raise ToolError(f"The expression has {len(text):,} characters. At most {_LONGEST:,} are allowed.")
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except ToolError:
        raise
    except ZeroDivisionError:
        raise ToolError("The expression divides by zero.") from None
    except OverflowError:
        raise ToolError("The result is too large for a number with a decimal point.") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolError(f"{expression[:100]!r} is no arithmetic. Write it like 2 * (3 + 4) or sqrt(2) / pi.") from None
    except (TypeError, ValueError) as error:
        raise ToolError(f"The expression has no value: {error}.") from None
    return _written(value)


def _value(node: ast.AST) -> object:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(node.value)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _bounded(_OPERATORS[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id)
        if function and not any(isinstance(argument, ast.Starred) for argument in node.args):
            return _bounded(function(*(_value(argument) for argument in node.args)))
    what = ast.unparse(node)[:60]
    raise ToolError(f"{what!r} is not known here. Known are + - * / // % **, {', '.join([*_NAMES, *_FUNCTIONS])}.")


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent * base.bit_length() > 2 * _MOST_BITS:
        raise ToolError("The power is too large to write down.")
    value = base**exponent
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    return value


def _factorial(number: object) -> int:
    if not isinstance(number, int) or not 0 <= number <= _LARGEST_FACTORIAL:
        raise ToolError(f"factorial takes a whole number from 0 to {_LARGEST_FACTORIAL:,}.")
    return math.factorial(number)


def _combinations(function: Callable[[int, int], int]) -> Callable[[object, object], int]:
    def bounded(number: Any, chosen: Any) -> int:
        if not all(isinstance(value, int) and 0 <= value <= _LARGEST_FACTORIAL for value in (number, chosen)):
            raise ToolError(f"comb and perm take whole numbers from 0 to {_LARGEST_FACTORIAL:,}.")
        return function(number, chosen)

    return bounded


def _round(number: Any, digits: Any = 0) -> Any:
    if not isinstance(digits, int) or abs(digits) > _MOST_ROUNDED:
        raise ToolError(f"round takes at most {_MOST_ROUNDED:,} digits.")
    return round(number, digits) if digits else round(number)


def _bounded(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ToolError("A number in the expression is too large to write down.")
    return value


def _written(value: object) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ToolError("The result is not a number that can be written down.")
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    return str(value)


_OPERATORS: dict[type[ast.operator], Callable[[object, object], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "abs": abs,
    "round": _round,
    "floor": math.floor,
    "ceil": math.ceil,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "degrees": math.degrees,
    "radians": math.radians,
    "gcd": lambda one, other: math.gcd(one, other),
    "factorial": _factorial,
    "comb": _combinations(math.comb),
    "perm": _combinations(math.perm),
}


def _call(arguments: Mapping[str, object], stopped: threading.Event) -> str:
    return calculate(text_argument(arguments, "expression"))


CALCULATE = Tool(
    "calculate",
    "paddock/calculate",
    "Paddock",
    "Calculate an arithmetic expression exactly. Use it for every calculation with more than one digit.",
    _call,
    {
        "type": "object",
        "properties": {
            "expression": {"type": "string", "description": "Such as 12.5 * (3 + 4) ** 2 or sqrt(2) / pi"},
        },
        "required": ["expression"],
    },
    seconds=10.0,
)
