"""Small JSON files that a stranger wrote: bounded in size, and numbers that mean something or nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError

MAX_JSON = 32 << 20


def parse(raw: bytes, name: str) -> Any:
    """The JSON value in `raw`. Raises ModelError with `name` in it. Numbers of absurd length become 0."""
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is not valid JSON ({error}). Download it again.", detail=str(error)) from None


def parse_object(raw: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `raw`. Raises ModelError with `name` in it. Numbers of absurd length become 0."""
    value = parse(raw, name)
    if not isinstance(value, dict):
        raise ModelError(f"{name} is no JSON object but a {type(value).__name__}. Download it again.")
    return value


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`, {} if there is no such file. Raises ModelError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_JSON + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}). Check its permissions.") from error
    if len(raw) > MAX_JSON:
        raise ModelError(f"{path.name} is larger than {MAX_JSON >> 20} MB, which no real one is. Download it again.")
    return parse_object(raw, path.name)


def _whole(digits: str) -> int:
    # Python before 3.11 takes minutes for a million digits, later ones raise.
    return int(digits) if len(digits) <= 20 else 0


def whole(value: Any) -> int:
    """`value` as a sensible positive whole number, else 0."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value < 2**48 else 0


def number(value: Any) -> float:
    """`value` as a sensible positive number, else 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if math.isfinite(value) and 0 < value < 2**48 else 0.0


def text(value: Any, longest: int = 200) -> str:
    """`value` if it is a text of sensible length, else ""."""
    return value if isinstance(value, str) and len(value) <= longest else ""


def table(value: Any) -> dict[str, Any]:
    """`value` if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}
