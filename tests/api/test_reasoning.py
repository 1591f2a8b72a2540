"""Reasoning is sent apart from the answer, and fields about it reach the chat template."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from modules.api.chat_input import read_chat
from modules.api.request_params import read_options
from modules.app import App
from modules.chat.reply_parts import ReplyParts
from modules.protocol.errors import SettingError

THOUGHT = "<think>\nIt is  day.\n</think>\n\nGood day.\n"
HARMONY = "<|channel|>analysis<|message|>It is  day.<|end|><|start|>assistant<|channel|>final<|message|>Good day.\n"


@pytest.mark.parametrize(("template", "reply"), [("", THOUGHT), ("<think></think>", THOUGHT), ("<|channel|>", HARMONY)])
def test_reasoning_is_apart_wherever_the_reply_is_cut(template: str, reply: str) -> None:
    expected = {"role": "assistant", "content": "Good day.\n", "reasoning_content": "It is  day."}
    assert ReplyParts(template, {}).message(reply) == expected
    for place in range(len(reply)):
        parts = ReplyParts(template, {})
        deltas = [*parts.feed(reply[:place]), *parts.feed(reply[place:]), *parts.flush()]
        for key in ("content", "reasoning_content"):
            assert "".join(delta.get(key, "") for delta in deltas) == expected[key]


def test_a_reply_of_the_api_has_reasoning_content(client: httpx.Client) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "<think>It is day.</think> Good day."}]}
    message = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("It is day.", "Good day.")
    with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: {")]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    for key in ("reasoning_content", "content"):
        assert "".join(delta.get(key, "") for delta in deltas) == message[key]
    assert "role" in deltas[0]


def _chat(app: App, template: str, **body: Any) -> Any:
    whole = {"messages": [{"role": "user", "content": "x"}], **body}
    return read_chat(app, app.supervisor, whole, read_options(whole, app.presets, app.registry.get("echo")), template)


def test_fields_about_reasoning_reach_the_template(app: App) -> None:
    template = "{{ enable_thinking }}{{ reasoning_effort }}"
    asked = _chat(app, template, enable_thinking=True, reasoning_effort="low", chat_template_kwargs={"style": 1})
    assert asked.variables == {"enable_thinking": True, "reasoning_effort": "low", "style": 1}
    assert asked.warnings == ()
    assert _chat(app, "{{ enable_thinking }}", reasoning_effort="none").variables == {"enable_thinking": False}
    assert "does not read reasoning_effort" in _chat(app, "", reasoning_effort="high").warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        {"chat_template_kwargs": []},
        {"chat_template_kwargs": {"messages": []}},
        {"enable_thinking": "yes"},
        {"reasoning_effort": 3},
    ],
)
def test_wrong_fields_about_reasoning_are_refused(app: App, body: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        _chat(app, "", **body)
