"""JSON schemas: what is enforced, and what is refused with a sentence before an engine sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modules.protocol.errors import PromptError
from modules.protocol.json_schema import normalize_schema, parse_json_schema
from modules.protocol.sampling import SamplingParams

_CLOSED = {"required": [], "additionalProperties": False}
_NESTED: dict[str, Any] = {"type": "string"}
for _ in range(60):
    _NESTED = {"type": "array", "items": _NESTED}
# Each definition holds the next one three times.
_DOUBLING = {
    "$ref": "#/$defs/a0",
    "$defs": {
        **{f"a{n}": {"properties": {key: {"$ref": f"#/$defs/a{n + 1}"} for key in "xyz"}} for n in range(12)},
        "a12": {"type": "null"},
    },
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 3}, {"enum": [3]}),
        ({"type": "string", "enum": ["a", 1]}, {"enum": ["a"]}),
        ({"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({"type": "integer", "exclusiveMinimum": 2.5, "maximum": 4}, {"enum": [3, 4]}),
        ({"type": "string", "pattern": "a|b"}, {"type": "string", "pattern": "^(a|b)$"}),
        ({"type": "string", "format": "email"}, {"type": "string"}),
        ({"type": "object", "title": "T", "additionalProperties": True}, {"type": "object"}),
        (
            {"type": "object", "required": ["b"], "properties": {"a": {}}},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], "additionalProperties": False},
        ),
        (
            {"allOf": [{"$ref": "#/$defs/p"}], "$defs": {"p": {"properties": {"a": {"type": "null"}}}}},
            {"type": "object", "properties": {"a": {"type": "null"}}, **_CLOSED},
        ),
        (
            {"type": ["string", "array"], "anyOf": [{"type": "string"}, {"type": "array", "maxItems": 2}]},
            {"anyOf": [{"type": "string"}, {"type": "array", "maxItems": 2, "items": {"type": "string"}}]},
        ),
    ],
)
def test_a_schema_is_written_as_all_engines_read_it(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert normalize_schema(schema) == (expected, ())
    assert normalize_schema(expected)[0] == expected


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "must be a JSON object"),
        ({"type": "text"}, "the types are"),
        ({"properties": ["a"]}, "not an object of schemas"),
        ({"items": 3}, "in the place of a schema"),
        ({"enum": []}, "at least one entry"),
        ({"pattern": "("}, "no regular expression"),
        ({"minLength": -1}, "whole number"),
        ({"maxItems": 10**9}, "more than 2,000"),
        ({"minimum": "1"}, "not a number"),
        ({"$ref": "https://example.org/schema"}, "outside of it"),
        ({"$ref": "#/$defs/none"}, "not there"),
        ({"$ref": "#"}, "refers to itself"),
        ({"properties": {"child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}, "refers to itself"),
        (_NESTED, "nested more than"),
        (_DOUBLING, "too large"),
        ({"allOf": [{"anyOf": [{"type": "string"}] * 9}] * 9}, "too large"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "forbids it"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "disagree about 'type'"),
    ],
)
def test_what_is_no_schema_or_has_no_end_is_refused(schema: Any, words: str) -> None:
    with pytest.raises(PromptError, match=words) as refused:
        normalize_schema(schema)
    assert refused.value.message.endswith("Correct the schema, or leave it out.")


def test_keywords_that_no_engine_enforces_are_named() -> None:
    schema = {"type": "array", "uniqueItems": True, "items": {"type": "number", "multipleOf": 2}}
    assert normalize_schema(schema) == ({"type": "array", "items": {"type": "number"}}, ("uniqueItems", "multipleOf"))


def test_the_parameter_is_text_and_excludes_a_grammar() -> None:
    assert parse_json_schema(SamplingParams()) is None
    assert parse_json_schema(SamplingParams(json_schema="{}")) == {}
    assert parse_json_schema(SamplingParams(json_schema=json.dumps({"const": 1}))) == {"enum": [1]}
    with pytest.raises(PromptError, match="is not JSON"):
        parse_json_schema(SamplingParams(json_schema="{"))
    with pytest.raises(PromptError, match="not both"):
        parse_json_schema(SamplingParams(json_schema="{}", grammar_string='root ::= "a"'))
