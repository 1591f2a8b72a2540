"""Read untrusted JSON files within limits, and take values of the expected kind from them."""

from __future__ import annotations

import math
from pathlib import Path

from modules.files.data_files import DataFileError, Limits, parse_json, read_bytes
from modules.protocol.errors import ModelError

MAX_JSON = 32 << 20
# The index of a model with many experts names some 100,000 tensors, a tokenizer has a million merges.
_LIMITS = Limits(size=MAX_JSON, nodes=4_000_000)


def parse_json_value(raw: bytes, name: str) -> object:
    """Return the JSON value in `raw`. Extremely long numbers become 0. Raises ModelError, which names `name`."""
    try:
        return parse_json(raw, name, limits=_LIMITS, whole=_whole)
    except DataFileError as error:
        raise ModelError(f"{name} is not valid JSON ({error.why}). Download it again.") from None


def parse_object(raw: bytes, name: str) -> dict[str, object]:
    """Return the JSON object in `raw`. Extremely long numbers become 0. Raises ModelError, which names `name`."""
    value = parse_json_value(raw, name)
    if not isinstance(value, dict):
        raise ModelError(f"{name} must be a JSON object, but is a {type(value).__name__}. Download it again.")
    return value


def read_object(path: Path) -> dict[str, object]:
    """Return the JSON object in the file at `path`, {} if there is no such file. Raises ModelError."""
    try:
        raw = read_bytes(path, _LIMITS)
    except FileNotFoundError:
        return {}
    except DataFileError as error:
        advice = "Check its permissions, or download it again."
        raise ModelError(f"{path.name} cannot be read: {error.why}. {advice}") from None
    return parse_object(raw, path.name)


def read_object_or_note(path: Path, problems: list[str]) -> dict[str, object]:
    """Return the JSON object in the file at `path`, {} if it is missing or broken, which is added to `problems`."""
    try:
        return read_object(path)
    except ModelError as error:
        problems.append(error.message)
        return {}


def _whole(digits: str) -> int:
    # Python before 3.11 takes minutes for a million digits, later ones raise.
    return int(digits) if len(digits) <= 20 else 0


def positive_int(value: object) -> int:
    """Return `value` if it is a positive whole number of plausible size, else 0."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value < 2**48 else 0


def positive_number(value: object) -> float:
    """Return `value` if it is a positive number of plausible size, else 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if math.isfinite(value) and 0 < value < 2**48 else 0.0


def as_text(value: object, longest: int = 200) -> str:
    """Return `value` if it is a string of plausible length, else ""."""
    return value if isinstance(value, str) and len(value) <= longest else ""


def as_object(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}
