"""The keywords of one JSON schema, by type: checked, and completed where engines assume different things."""

from __future__ import annotations

import math
import re
from typing import Any

from modules.protocol.errors import PromptError

# Limits of lengths: engines write a repetition out.
LONGEST = 2_000
_LONGEST_PATTERN = 500
# A range of whole numbers up to this size becomes a list, because some engines ignore the limits of numbers.
_LISTED_NUMBERS = 100
ADVICE = "Correct the schema, or leave it out."

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
KEYWORDS_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def problem(words: str) -> PromptError:
    """Return the error for a schema with this fault."""
    return PromptError(f"The JSON schema {words}. {ADVICE}")


def of_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the keywords of its type alone, and with what engines would otherwise assume differently."""
    if "enum" in schema:
        kind = schema.get("type")
        values = [value for value in schema["enum"] if kind is None or _is_type(value, kind)]
        if not values:
            raise problem("has an 'enum' without a value of its type")
        return {"enum": values}
    kind = schema.get("type") or next(
        (kind for kind, keys in KEYWORDS_OF_TYPE.items() if any(key in schema for key in keys)), ""
    )
    if not kind:
        return {}
    found = {"type": kind, **{key: schema[key] for key in KEYWORDS_OF_TYPE.get(kind, ()) if key in schema}}
    return {"object": _object, "array": _array, "integer": _integer}.get(kind, dict)(found)


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    properties, further = dict(schema.get("properties", {})), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in properties:
            if further is False:
                raise problem(f"requires the property {short(name)} and forbids it")
            properties[name] = further if isinstance(further, dict) else {}
    if not properties:
        return {"type": "object"} if further is True else {"type": "object", "additionalProperties": further}
    closed = further if isinstance(further, dict) else False
    required = list(schema.get("required", ()))
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": closed}


def _array(schema: dict[str, Any]) -> dict[str, Any]:
    if prefix := schema.get("prefixItems"):
        return {"type": "array", "prefixItems": prefix, "minItems": len(prefix), "maxItems": len(prefix)}
    if schema.get("items") is False:
        return {"enum": [[]]}
    if schema.get("minItems", 0) > schema.get("maxItems", LONGEST):
        raise problem("has a 'minItems' above its 'maxItems'")
    found = {key: value for key, value in schema.items() if value is not True}
    if "items" not in found and len(found) > 1:
        # Some engines count only items that have a type.
        found["items"] = {"type": "string"}
    return found


def _integer(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a list of the numbers if there are few."""
    lowest = [math.ceil(schema["minimum"])] if "minimum" in schema else []
    lowest += [math.floor(schema["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in schema else []
    highest = [math.floor(schema["maximum"])] if "maximum" in schema else []
    highest += [math.ceil(schema["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in schema else []
    if not lowest or not highest:
        return schema
    numbers = range(max(lowest), min(highest) + 1)
    if not numbers:
        raise problem("has a 'minimum' above its 'maximum'")
    return {"enum": list(numbers)} if len(numbers) <= _LISTED_NUMBERS else schema


def check_type(value: object) -> object:
    """Return the value of `type`: a name, or a list of several. Raises PromptError."""
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name not in _TYPES:
            raise problem(f"has the type {short(name)}; the types are {', '.join(_TYPES)}")
    if not names:
        raise problem("has an empty list of types")
    return names[0] if len(names) == 1 else list(dict.fromkeys(names))


def check_number(key: str, value: object) -> float:
    """Return the value of a limit. Raises PromptError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1e15:
        raise problem(f"has a {key!r} that is not a number of at most 15 digits")
    return value


def check_pattern(value: object) -> str:
    """Return a regular expression that matches the whole text. Raises PromptError."""
    if not isinstance(value, str) or len(value) > _LONGEST_PATTERN:
        raise problem(f"has a 'pattern' that is not a text of at most {_LONGEST_PATTERN} characters")
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise problem(f"has the pattern {short(value)}, which is no regular expression ({error})") from None
    # Engines disagree about a pattern without anchors. One with them says the same to all.
    inner = value.removeprefix("^")
    inner = inner[:-1] if inner.endswith("$") and not inner.endswith("\\$") else inner
    return f"^({inner})$" if _has_alternatives(inner) else f"^{inner}$"


def _has_alternatives(pattern: str) -> bool:
    """Return True if a | of the pattern is in no group and in no class."""
    bare = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", pattern, flags=re.DOTALL)
    while bare != (outer := re.sub(r"\([^()]*\)", "", bare)):
        bare = outer
    return "|" in bare


def _is_type(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "null": type(None),
    }  # fmt: skip
    return kind in kinds and isinstance(value, kinds[kind])


def short(value: object) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
