"""The form of an answer: every spelling means the same, and a wrong one is a 400 with a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from modules.api.request_params import RequestOptions, read_options
from modules.app import App

SCHEMA = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": False}
WRAPPED = {"name": "x", "schema": SCHEMA, "strict": True}


def _read(app: App, **body: Any) -> RequestOptions:
    return read_options({"prompt": "x", **body}, app.presets, app.registry.get("echo"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": WRAPPED}}, SCHEMA),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, SCHEMA),
        ({"guided_json": SCHEMA}, SCHEMA),
        ({"guided_json": json.dumps(SCHEMA), "response_format": {"type": "text"}}, SCHEMA),
        ({"json_schema": SCHEMA}, SCHEMA),
        ({"json_schema": WRAPPED}, SCHEMA),
        ({"json_schema": "{}"}, {}),
        ({"structured_outputs": {"json": SCHEMA, "regex": None}}, SCHEMA),
        ({"structured_outputs": {"json_object": True}}, {"type": "object"}),
    ],
)
def test_all_spellings_of_a_schema_are_one_parameter(app: App, body: dict[str, Any], expected: Any) -> None:
    options = _read(app, **body)
    assert json.loads(options.params.json_schema) == expected
    assert options.warnings == ()


@pytest.mark.parametrize(
    "body", [{"guided_choice": ["a", 'b"\\\n']}, {"structured_outputs": {"choice": ["a", 'b"\\\n']}}]
)
def test_choices_become_a_grammar(app: App, body: dict[str, Any]) -> None:
    assert _read(app, **body).params.grammar_string == r'''root ::= "a" | "b\"\\\n"'''


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"response_format": "json"}, "must be"),
    ({"response_format": {"type": "yaml"}}, "must be"),
    ({"response_format": {"type": "json_schema"}}, "has no 'schema'"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}}, "must be a JSON object"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": "yes"}}}, "'strict' must be"),
    ({"guided_json": "{"}, "is not JSON"),
    ({"guided_json": '{"const": NaN}'}, "a number that JSON does not have"),
    ({"structured_outputs": {"json": '{"enum": [1e999]}'}}, "a number that JSON does not have"),
    ({"guided_json": {"type": "text"}}, "has the type 'text'"),
    ({"json_schema": {"$ref": "#"}}, "refers to itself"),
    ({"json_schema": {"type": "object"}, "guided_json": {}}, "can have one format"),
    ({"json_schema": {"type": "object"}, "grammar": "root ::= [a]"}, "not both"),
    ({"guided_choice": []}, "list of choices"),
    ({"guided_choice": [1]}, "list of choices"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}, "strict": True}}}, "'not'"),
]


def test_what_is_no_format_is_a_bad_request(client: httpx.Client) -> None:
    for body, words in REFUSED:
        for path, prompt in (("completions", {"prompt": "x"}), ("chat/completions", {"messages": [_message("x")]})):
            answer = client.post(f"/v1/{path}", json={**prompt, **body})
            assert answer.status_code == 400, body
            assert words in answer.json()["error"]["message"]


def test_a_keyword_that_is_not_enforced_is_named(client: httpx.Client) -> None:
    body = {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "not": {}}}}}
    answer = client.post("/v1/chat/completions", json={"messages": [_message("x")], **body})
    assert answer.json()["warnings"] == ["These keywords of the JSON schema are not enforced: 'not'."]


def test_a_loader_that_follows_no_schema_refuses(app: App) -> None:
    spec = app.registry.get("echo")
    spec = replace(spec, samplers=spec.samplers - {"json_schema", "grammar_string"})
    for body, words in (({"guided_json": {}}, "a JSON schema"), ({"guided_choice": ["a"]}, "a list of choices")):
        with pytest.raises(Exception, match=f"Echo cannot follow {words}"):
            read_options({"prompt": "x", **body}, app.presets, spec)


def test_a_reply_that_was_cut_says_so(client: httpx.Client) -> None:
    body = {"messages": [_message("{ !long")], "max_tokens": 5, "response_format": {"type": "json_object"}}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert "not complete" in answer["warnings"][0]
    with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    assert [event.get("warnings") for event in events[-2:]] == [None, answer["warnings"]]


def _message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
