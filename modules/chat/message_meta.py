"""The facts of a message that comes from a file: only those whose values the page and prompts can use."""

from __future__ import annotations

import math
from collections.abc import Mapping

_TEXTS = frozenset(
    ("model", "loader", "reason", "internal", "speaker", "error", "detail", "code", "unsaved", "served_by")
)
_NUMBERS = frozenset(
    ("prompt_tokens", "cached_tokens", "cut_tokens", "generated_tokens", "drafted_tokens", "accepted_tokens")
    + ("prefill_seconds", "decode_seconds", "context", "left_out", "rating")
)
# Lists: of texts, and of objects with these names.
_LISTS: dict[str, Mapping[str, type]] = {
    "notes": {},
    "lower": {},
    "receipt": {"extension": str, "hook": str, "before": str, "after": str},
    "lore": {"book": str, "entry": str, "why": str},
    "passages": {"number": int, "knowledge": str, "document": str, "name": str, "text": str},
}
# Larger numbers are no counts and no durations.
_MOST = 1e12


def known_meta(meta: object) -> dict[str, object]:
    """Return the facts of a message without those whose value has a wrong type. See Message for their names."""
    if not isinstance(meta, Mapping):
        return {}
    return {str(name): value for name, value in meta.items() if _is_right(str(name), value)}


def _is_right(name: str, value: object) -> bool:
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _NUMBERS:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and -_MOST < value < _MOST and math.isfinite(value)  # type: ignore[operator,arg-type]
    fields = _LISTS.get(name)
    if fields is None:
        return True
    if not isinstance(value, list):
        return False
    return all(isinstance(one, Mapping if fields else str) and _has(one, fields) for one in value)


def _has(value: object, fields: Mapping[str, type]) -> bool:
    return not fields or (isinstance(value, Mapping) and all(isinstance(value.get(n), t) for n, t in fields.items()))
