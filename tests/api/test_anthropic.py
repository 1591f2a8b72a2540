"""Anthropic's API over real HTTP, with the `anthropic` package as it is on PyPI, answered by the echo loader."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from typing import Any

import anthropic
import httpx
import pytest

from modules.api.anthropic.request import chat_body
from modules.api.anthropic.stream import message_events
from modules.api.openai_format import OpenAIAnswer
from modules.api.request_params import RequestOptions
from modules.app import App
from modules.generation.generation import Generation
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.support.event_loop import run_async
from tests.support.server import serving

TOOLS: Any = [
    {
        "name": "weather",
        "description": "The weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'


@pytest.fixture
def claude(client: httpx.Client) -> anthropic.Anthropic:
    """Return Anthropic's client for the shared server."""
    return anthropic.Anthropic(base_url=str(client.base_url), api_key="none", max_retries=0)


def _ask(claude: anthropic.Anthropic, content: Any, **more: Any) -> anthropic.types.Message:
    messages: Any = [{"role": "user", "content": content}]
    message: anthropic.types.Message = claude.messages.create(model="tiny", max_tokens=50, messages=messages, **more)
    return message


def test_a_message_has_text_reason_and_usage(claude: anthropic.Anthropic) -> None:
    message = _ask(claude, "good day")
    assert [(block.type, getattr(block, "text", "")) for block in message.content] == [("text", "good day")]
    assert (message.role, message.model, message.stop_reason) == ("assistant", "tiny", "end_turn")
    assert message.usage.output_tokens == 2
    assert message.id.startswith("msg_")


def test_the_counted_tokens_are_those_of_the_message(claude: anthropic.Anthropic) -> None:
    more: Any = {"system": "Be brief.", "tools": TOOLS}
    usage = _ask(claude, "how many tokens", **more).usage
    messages: Any = [{"role": "user", "content": "how many tokens"}]
    counted = claude.messages.count_tokens(model="tiny", messages=messages, **more)
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0) > 10


def test_a_stream_adds_up_to_the_message(claude: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": f"<think>hm hm</think> I look. {CALL}"}]
    with claude.messages.stream(model="tiny", max_tokens=50, messages=messages, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    thought, text, call = message.content
    assert (thought.type, getattr(thought, "thinking", "")) == ("thinking", "hm hm")
    assert (text.type, getattr(text, "text", "").strip()) == ("text", "I look.")
    assert call.type == "tool_use" and (call.name, call.input) == ("weather", {"city": "Paris"})
    assert message.stop_reason == "tool_use"
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3
    whole = _ask(claude, messages[0]["content"], tools=TOOLS)
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert (whole.stop_reason, whole.usage.output_tokens) == ("tool_use", message.usage.output_tokens)


def test_a_stream_begins_with_a_ping_and_names_each_event(client: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "good day"}], "max_tokens": 9, "stream": True}
    with client.stream("POST", "/v1/messages", json=body) as response:
        lines = [line for line in response.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert names == [event["type"] for event in events]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 2


def test_the_reasons_are_anthropics(claude: anthropic.Anthropic) -> None:
    stopped = _ask(claude, "one two three", stop_sequences=[" two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " two")
    messages: Any = [{"role": "user", "content": "one two three"}]
    assert claude.messages.create(model="tiny", max_tokens=2, messages=messages).stop_reason == "max_tokens"


def test_the_last_reply_is_continued(client: httpx.Client) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "good day"}]

    def count(messages: list[dict[str, str]]) -> int:
        return int(client.post("/v1/messages/count_tokens", json={"messages": messages}).json()["input_tokens"])

    # A further question costs the end of the reply, its words, and the beginning of another reply.
    assert count(turns) < count([*turns, {"role": "user", "content": ""}])
    chat = {"messages": turns, "max_tokens": 9}
    begun = client.post("/v1/chat/completions", json={**chat, "continue_": True}).json()["usage"]["prompt_tokens"]
    assert begun == count(turns) < client.post("/v1/chat/completions", json=chat).json()["usage"]["prompt_tokens"]
    refused = client.post("/v1/chat/completions", json={"messages": turns[:1], "continue_": True})
    assert refused.status_code == 400 and "Only a reply can be continued" in refused.text


def test_blocks_become_the_messages_of_a_chat() -> None:
    body = chat_body(
        {
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "I look.", "signature": "x"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sunny"}]},
                        {"type": "tool_result", "tool_use_id": "t2", "content": "broken", "is_error": True},
                        {"type": "text", "text": "And?"},
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Page"}},
                    ],
                },
            ],
            "tools": TOOLS,
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            "metadata": {"user_id": "me"},
            "min_p": 0.1,
        }
    )
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "reasoning_content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: broken"},
        {"role": "user", "content": "And?\nPage"},
    ]
    assert body["tools"][0]["function"]["parameters"] == TOOLS[0]["input_schema"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert (body["parallel_tool_calls"], body["enable_thinking"], body["reasoning_effort"]) == (False, True, "low")
    assert body["response_format"]["json_schema"] == {"schema": {"type": "object"}}
    assert (body["min_p"], body["continue_"], "metadata" in body) == (0.1, False, False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": ["x"]}, "'role' and a 'content'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "The roles are: user, assistant, system"),
        ({"messages": [{"role": "user", "content": 5}]}, "a text or a list of parts"),
        ({"messages": [{"role": "user", "content": [5]}]}, "an object with a 'type'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "must have a 'text'"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "must be sent as data"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "'tool_use_id'"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]}, "base64"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "x"}]}]}, "'input'"),
        ({"system": 5}, "'system' must be a text"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "does not run tools of Anthropic's"),
        ({"tools": [{"name": "weather", "input_schema": "x"}]}, "wrong kind"),
        ({"tools": "x"}, "'tools' must be a list"),
        ({"tool_choice": {"type": "some"}}, "'tool_choice' must be"),
        ({"thinking": {"type": "much"}}, "'thinking' must be"),
        ({"output_config": {"format": {"type": "xml"}}}, "json_schema"),
        ({"mcp_servers": [{"url": "x"}]}, "tools that the server calls"),
        ({"temperature": 9}, "Temperature (temperature) cannot be 9"),
        ({"stream": "yes"}, "'stream' must be true or false"),
    ],
)
def test_a_bad_request_gets_a_sentence_in_anthropics_shape(
    client: httpx.Client, body: dict[str, Any], words: str
) -> None:
    response = client.post("/v1/messages", json={"messages": [{"role": "user", "content": "x"}], **body})
    assert response.status_code == 400, response.text
    answer = response.json()
    assert (answer["type"], answer["error"]["type"]) == ("error", "invalid_request_error")
    assert words in answer["error"]["message"]


def test_errors_are_those_of_the_package(claude: anthropic.Anthropic, config: Config) -> None:
    messages: Any = [{"role": "user", "content": "x"}]
    with pytest.raises(anthropic.NotFoundError, match="no model named 'gpt-4o'"):
        claude.messages.create(model="gpt-4o", max_tokens=9, messages=messages)
    with pytest.raises(anthropic.BadRequestError, match="The echo loader fails"):
        _ask(claude, "!error")
    with closing(App(dataclasses.replace(config, api_key="word"))) as locked, serving(locked) as address:
        wrong = anthropic.Anthropic(base_url=address, api_key="other", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError, match="Send the API key"):
            wrong.messages.create(model="tiny", max_tokens=9, messages=messages)
        right = anthropic.Anthropic(base_url=address, api_key="word", max_retries=0)
        with pytest.raises(anthropic.APIStatusError, match="no model named"):
            right.messages.create(model="nope", max_tokens=9, messages=messages)


def test_a_worker_that_dies_ends_the_stream_with_an_error(own_client: httpx.Client) -> None:
    claude = anthropic.Anthropic(base_url=str(own_client.base_url), api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": "1 2 3 4 5 6 7 !exit"}]
    with (
        pytest.raises(anthropic.APIStatusError, match="exited with status"),
        claude.messages.stream(model="tiny", max_tokens=50, messages=messages) as stream,
    ):
        stream.until_done()


def test_a_client_that_hangs_up_frees_the_engine(client: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "a !long"}], "max_tokens": 900_000, "stream": True}
    for _ in range(4):
        with client.stream("POST", "/v1/messages", json=body) as response:
            next(response.iter_lines())
    short = {"messages": [{"role": "user", "content": "free again"}], "max_tokens": 9}
    assert client.post("/v1/messages", json=short).json()["content"][0]["text"] == "free again"


def test_a_slow_reply_is_kept_alive_by_pings() -> None:
    generation = Generation("g", "", SamplingParams(), lambda id: None)
    options = RequestOptions(SamplingParams(), True, False, True, ())
    answer = OpenAIAnswer("chatcmpl-g", True, "tiny", 0, options)

    async def names() -> list[str]:
        found = []
        async for event in message_events(answer, generation, 0.001):
            found.append(json.loads(event.partition(b"data: ")[2])["type"])
            if found == ["message_start", "ping", "ping", "ping"]:
                generation.feed("done", 1)
                generation.finish(Finished("g", "stop", generated_tokens=1))
        return [name for name in found[4:] if name != "ping"]

    assert run_async(names()) == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
