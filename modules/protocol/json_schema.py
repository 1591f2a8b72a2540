"""JSON schemas that a reply must follow: checked, and written so that every engine's grammar reads them alike.

Engines differ in what they know of JSON Schema (https://json-schema.org/draft/2020-12), and some run without end on a
hostile one. `normalize_schema` therefore resolves references, removes what only describes, and limits the size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.errors import PromptError
from modules.protocol.json_schema_keywords import (
    ADVICE,
    KEYWORDS_OF_TYPE,
    LONGEST,
    check_number,
    check_pattern,
    check_type,
    of_type,
    problem,
    short,
)
from modules.protocol.sampling import SamplingParams

_MOST_CHARACTERS = 200_000
# Schemas after references are replaced, with each value of an enum counted.
_MOST_PARTS = 5_000
_MOST_PROPERTIES = 200
_DEEPEST = 40
_ANY_TYPE = {"type", "enum", "const", "anyOf", "oneOf", "allOf"}
_ENFORCED = _ANY_TYPE.union(*KEYWORDS_OF_TYPE.values())
_REFERENCES = {"$ref", "$defs", "definitions"}
# Words that allow and forbid nothing.
_DESCRIPTIONS = {
    "$schema", "$id", "$anchor", "$comment", "title", "description", "default", "examples", "example", "deprecated",
    "readOnly", "writeOnly", "discriminator", "strict",
}  # fmt: skip
_FORMATS = ("date", "time", "date-time", "uuid")
_LENGTHS = ("minItems", "maxItems", "minLength", "maxLength")
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def parse_json_schema(params: SamplingParams) -> dict[str, object] | None:
    """Return the normalized schema in `json_schema`, or None if it is empty. Raises PromptError."""
    text = params.json_schema.strip()
    if not text:
        return None
    if params.grammar_string.strip():
        raise PromptError("A reply follows a grammar or a JSON schema, not both. Clear one of them.")
    if len(text) > _MOST_CHARACTERS:
        raise problem(f"has more than {_MOST_CHARACTERS:,} characters")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"The JSON schema is not JSON: {str(error).rstrip('.')}. {ADVICE}") from None
    return normalize_schema(schema)[0]


def unreadable_grammar_error(engine: str, detail: str = "") -> PromptError:
    """Return the error for a grammar, or a schema that passed the checks here, which `engine` cannot read."""
    return PromptError(
        f"{engine} cannot read the grammar or the JSON schema. Check a grammar against the GBNF guide and the patterns "
        "of a schema, or leave it out.",
        detail=detail,
    )


def normalize_schema(schema: object) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return (a schema without references that all engines read alike, keywords that are not enforced).

    What the result allows, the original allows, except for the keywords named. Raises PromptError.
    """
    if not isinstance(schema, dict):
        raise problem('must be a JSON object, such as {"type": "object"}')
    work = _Normalizer(schema)
    return work.schema(schema, 0), tuple(work.unknown)


@dataclass
class _Normalizer:
    """`root`: the whole schema, which references point into. `parts`: how many more parts it may have."""

    root: dict[str, Any]
    unknown: dict[str, None] = field(default_factory=dict)
    parts: int = _MOST_PARTS
    resolving: list[str] = field(default_factory=list)

    def schema(self, schema: object, depth: int) -> dict[str, object]:
        """Return one schema, normalized."""
        self._count(1)
        if depth > _DEEPEST:
            raise problem(f"is nested more than {_DEEPEST} levels deep")
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise problem(f"has {short(schema)} in the place of a schema")
        reference = schema.get("$ref")
        if reference is None:
            return self._joined(schema, depth)
        if reference in self.resolving:
            raise problem(f"refers to itself ({short(reference)}), which is not supported")
        self.resolving.append(reference)
        rest = {key: value for key, value in schema.items() if key not in _REFERENCES}
        found = self._joined({"allOf": [self._target(reference), rest]}, depth)
        self.resolving.pop()
        return found

    def _joined(self, schema: dict[str, object], depth: int) -> dict[str, object]:
        """Return a schema without `allOf`, and with `anyOf` alone where there is one."""
        own = self._own(schema, depth)
        if isinstance(types := own.get("type"), list):
            own = {"anyOf": [of_type({**own, "type": name}) for name in types]}
        for part in self._list(schema, "allOf"):
            own = self._merge(own, self.schema(part, depth + 1))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                own = self._merge(own, {"anyOf": [self.schema(part, depth + 1) for part in self._list(schema, key)]})
        return own if "anyOf" in own else of_type(own)

    def _own(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Return the checked keywords of one schema besides allOf, anyOf, oneOf and $ref."""
        found: dict[str, Any] = {}
        for key, value in schema.items():
            if key not in _ENFORCED | _REFERENCES | _DESCRIPTIONS:
                self.unknown.setdefault(str(key)[:100])
            elif key == "type":
                found[key] = check_type(value)
            elif key == "const":
                found["enum"] = [value]
            elif key == "enum":
                found[key] = self._list(schema, key)
                self._count(len(found[key]))
            elif key in ("properties", "required", "additionalProperties", "items", "prefixItems"):
                found[key] = getattr(self, f"_{key}")(value, depth)
            elif key in _LENGTHS:
                found[key] = self._length(key, value)
            elif key in _LIMITS:
                found[key] = check_number(key, value)
            elif key == "pattern":
                found[key] = check_pattern(value)
            elif key == "format" and value in _FORMATS:
                found[key] = value
        return found

    def _properties(self, value: object, depth: int) -> dict[str, object]:
        if not isinstance(value, dict):
            raise problem("has 'properties' that are not an object of schemas")
        if len(value) > _MOST_PROPERTIES:
            raise problem(f"has an object with more than {_MOST_PROPERTIES} properties")
        return {name: self.schema(part, depth + 1) for name, part in value.items()}

    def _required(self, value: object, depth: int) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise problem("has 'required' that is not a list of names")
        if len(value) > _MOST_PROPERTIES:
            raise problem(f"has more than {_MOST_PROPERTIES} required properties")
        return list(dict.fromkeys(value))

    def _additionalProperties(self, value: object, depth: int) -> object:  # noqa: N802 (the keyword's name)
        return value if isinstance(value, bool) else self.schema(value, depth + 1)

    def _items(self, value: object, depth: int) -> object:
        return value if isinstance(value, bool) else self.schema(value, depth + 1)

    def _prefixItems(self, value: object, depth: int) -> list[object]:  # noqa: N802 (the keyword's name)
        return [self.schema(part, depth + 1) for part in self._list({"prefixItems": value}, "prefixItems")]

    def _length(self, key: str, value: object) -> int:
        if isinstance(value, (int, float)) and value > LONGEST:
            raise problem(f"has a {key!r} of more than {LONGEST:,}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0 or value != int(value):
            raise problem(f"has a {key!r} that is not a whole number of 0 or more")
        self._count(int(value) // 10)
        return int(value)

    def _list(self, schema: dict[str, Any], key: str) -> list[Any]:
        value = schema.get(key, [])
        if key in schema and (not isinstance(value, list) or not value):
            raise problem(f"has {key!r} that is not a list with at least one entry")
        return list(value)

    def _target(self, reference: object) -> object:
        place: Any = self.root
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise problem(f"refers to {short(reference)}, which is outside of it")
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(place, dict) or name not in place:
                raise problem(f"refers to {short(reference)}, which is not there")
            place = place[name]
        return place

    def _merge(self, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
        """Return a schema that allows what both allow. Raises PromptError where that is not simply both."""
        if "anyOf" in first or "anyOf" in second:
            lefts, rights = (part.get("anyOf", [part]) for part in (first, second))
            self._count(len(lefts) * len(rights))
            found: list[dict[str, Any]] = []
            failure: PromptError | None = None
            for left, right in ((left, right) for left in lefts for right in rights):
                try:
                    found.append(of_type(self._merge(left, right)))
                except PromptError as error:
                    failure = error
            if failure and not found:
                raise failure
            return {"anyOf": found}
        merged = {**first, **second}
        for key in first.keys() & second.keys():
            left, right = first[key], second[key]
            if key == "properties":
                both = left.keys() & right.keys()
                merged[key] = {**left, **right, **{name: self._merge(left[name], right[name]) for name in both}}
            elif key == "required":
                merged[key] = list(dict.fromkeys([*left, *right]))
            elif key == "additionalProperties":
                merged[key] = False if False in (left, right) else right
            elif left != right:
                raise problem(f"joins parts that disagree about {key!r}")
        return merged

    def _count(self, parts: int) -> None:
        self.parts -= parts
        if self.parts < 0:
            raise problem(f"is too large: after references are resolved it has more than {_MOST_PARTS:,} parts")
