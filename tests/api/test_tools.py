"""Tools over the API: what the model sees of them, what becomes a call, and what is forced."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from modules.api.request_params import read_options
from modules.app import App
from modules.protocol.errors import Unsupported

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
]
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'
FORCED = {"type": "function", "function": {"name": "weather"}}


def _ask(client: httpx.Client, text: str, **more: Any) -> Any:
    """Return the answer of the fake engine, which repeats the last line."""
    body = {"messages": [{"role": "user", "content": text}], "tools": TOOLS, **more}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def _stream(client: httpx.Client, text: str, **more: Any) -> list[dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": text}], "tools": TOOLS, "stream": True, **more}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        return [json.loads(line[6:])["choices"][0] for line in response.iter_lines() if line.startswith("data: {")]


def test_a_call_in_a_reply_is_a_tool_call(client: httpx.Client) -> None:
    choice = _ask(client, f"I look. {CALL} {CALL}")
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I look."
    first, second = choice["message"]["tool_calls"]
    assert first["type"] == "function"
    assert first["function"] == {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert first["id"] != second["id"]
    alone = _ask(client, f"{CALL} {CALL}", parallel_tool_calls=False)["message"]
    assert alone["content"] is None
    assert len(alone["tool_calls"]) == 1


def test_a_streamed_call_has_its_name_first_and_no_text_of_its_own(client: httpx.Client) -> None:
    choices = _stream(client, f"I look. {CALL}")
    deltas = [choice["delta"] for choice in choices]
    assert "".join(delta.get("content", "") for delta in deltas) == "I look."
    name, arguments = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert (name["index"], name["function"]) == (0, {"name": "weather", "arguments": ""})
    assert arguments == {"index": 0, "function": {"arguments": '{"city": "Paris"}'}}
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert [delta for delta in deltas if "role" in delta] == deltas[:1]


def test_without_tools_or_with_none_a_reply_is_text(client: httpx.Client) -> None:
    without: tuple[dict[str, Any], ...] = ({"tool_choice": "none"}, {"tools": []})
    for more in without:
        choice = _ask(client, CALL, **more)
        assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")


def test_a_call_that_is_cut_is_text_and_ends_by_length(client: httpx.Client) -> None:
    choice = _ask(client, CALL, max_tokens=2)
    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("choice", "names"), [("required", ["weather", "now"]), (FORCED, ["weather"]), ("auto", []), (None, [])]
)
def test_a_choice_forces_a_call_by_a_schema(app: App, choice: Any, names: list[str]) -> None:
    options = read_options(
        {"messages": [], "tools": TOOLS, "tool_choice": choice}, app.presets, app.registry.get("echo")
    )
    schema = json.loads(options.params.json_schema or '{"anyOf": []}')
    assert [part["properties"]["name"]["const"] for part in schema["anyOf"]] == names


def test_a_format_leaves_the_choice_of_a_call(app: App) -> None:
    body = {"messages": [], "tools": TOOLS, "response_format": {"type": "json_object"}}
    schema = read_options(body, app.presets, app.registry.get("echo")).params.json_schema
    assert [part.get("properties", {}).get("name") for part in json.loads(schema)["anyOf"]] == [
        {"const": "weather"},
        {"const": "now"},
        None,
    ]


def test_a_forced_call_is_read_without_markers(client: httpx.Client) -> None:
    for choice in ("required", FORCED):
        answer = _ask(client, '{"name": "weather", "arguments": {"city": "Rome"}}', tool_choice=choice)
        assert answer["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Rome"}'


def test_a_loader_without_schemas_cannot_be_forced(app: App) -> None:
    spec = app.registry.get("echo")
    spec = replace(spec, samplers=spec.samplers - {"json_schema"})
    with pytest.raises(Unsupported, match="cannot be made to call a tool"):
        read_options({"messages": [], "tools": TOOLS, "tool_choice": "required"}, app.presets, spec)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": "x"}, "must be a list"),
    ({"tools": [{}]}, "Each tool must be"),
    ({"tools": [{"type": "web_search"}]}, "Only tools of the type function"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "cannot be named"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}, TOOLS[1], TOOLS[1]]}, "same name"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": [1]}}]}, "wrong kind"),
    ({"tools": TOOLS, "tool_choice": "maybe"}, "'tool_choice' must be"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "not in 'tools'"),
    ({"tool_choice": "required"}, "there are no 'tools'"),
    ({"tools": TOOLS, "parallel_tool_calls": "no"}, "'parallel_tool_calls' must be"),
    (
        {
            "tools": [
                {"type": "function", "function": {"name": "a", "parameters": {"properties": {"x": {"type": 1}}}}}
            ],
            "tool_choice": "required",
        },
        "The parameters of the tool 'a'",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}, "must be {id, type"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]},
        "not a JSON object",
    ),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": 3}]}, "'tool_call_id' must be"),
]


def test_wrong_tools_are_a_bad_request(client: httpx.Client) -> None:
    for body, words in REFUSED:
        answer = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}], **body})
        assert answer.status_code == 400, body
        assert words in answer.json()["error"]["message"], body
    answer = client.post("/v1/completions", json={"prompt": "x", "tools": TOOLS})
    assert "Only chats have tools" in answer.json()["error"]["message"]


def test_results_go_back_to_the_model(client: httpx.Client) -> None:
    earlier = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [earlier]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    answer = client.post("/v1/chat/completions", json={"messages": messages, "tools": TOOLS}).json()
    # The fake engine has no template, so the result is text, of which it repeats the last line.
    assert answer["choices"][0]["message"]["content"] == "</tool_response>"


# Templates that read no tools: one that shows another notation too, and one of a dialogue, whose last line has the
# name of the speaker at its end, so that the fake engine repeats the question.
PLAIN = "{% for one in messages %}[{{ one.role }}] {{ one.content }}\n{% endfor %}{# [TOOL_CALLS] #}"
DIALOGUE = "{% for one in messages %}{{ '\\n' }}{{ one.content }} {% endfor %}"


@pytest.mark.parametrize(
    "more", [{"instruction_template_str": PLAIN}, {"mode": "chat", "name2": "Ada", "chat_template_str": DIALOGUE}]
)
def test_a_template_without_tools_gets_a_prompt_for_them_and_its_calls_are_found(
    client: httpx.Client, more: dict[str, Any]
) -> None:
    """Two calls at once, in a stream too, where a call that has begun is not sent as text."""
    text = f"I look. {CALL} {CALL}"
    choice = _ask(client, text, **more)
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["weather", "weather"]
    assert "tool_call" not in choice["message"]["content"]
    deltas = [one["delta"] for one in _stream(client, text, **more)]
    assert sum("id" in call for delta in deltas for call in delta.get("tool_calls", ())) == 2
    assert "<" not in "".join(delta.get("content") or "" for delta in deltas)
    # The prompt says how to call, and what there is. Half a call stays text.
    prompt = {"messages": [{"role": "user", "content": "x"}], "tools": TOOLS, "max_tokens": 1, **more}
    plain = {**prompt, "tools": []}
    answers = [client.post("/v1/chat/completions", json=one).json() for one in (prompt, plain)]
    long, short = (answer["usage"]["prompt_tokens"] for answer in answers)
    assert long > short + 50


def test_a_model_that_writes_the_result_itself_is_stopped(client: httpx.Client) -> None:
    choice = _ask(client, f"{CALL} <tool_response> sun </tool_response>")
    assert choice["finish_reason"] == "tool_calls" and not choice["message"]["content"]
