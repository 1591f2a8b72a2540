"""OpenAI's Responses API over real HTTP, with the `openai` package as it is on PyPI, answered by the echo loader."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

from modules.api.responses.items import item_messages
from modules.api.responses.store import ResponseNotFound, ResponseStore, StoredResponse

TOOLS: Any = [
    {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
]
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'


@pytest.fixture
def ai(client: httpx.Client) -> openai.OpenAI:
    """Return OpenAI's client for the shared server."""
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)


def test_a_response_has_text_usage_and_what_was_asked(ai: openai.OpenAI) -> None:
    response = ai.responses.create(model="tiny", input="good day", instructions="Be brief.", temperature=0.5)
    assert response.output_text == "good day"
    assert (response.status, response.model, response.instructions) == ("completed", "tiny", "Be brief.")
    assert response.usage is not None and response.usage.output_tokens == 2
    assert response.temperature == 0.5 and response.error is None
    assert response.id.startswith("resp_")


def test_a_reply_that_is_cut_is_incomplete(ai: openai.OpenAI) -> None:
    response = ai.responses.create(model="tiny", input="one two three", max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None and response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == "one two"


def test_a_stream_has_the_events_of_each_item_in_order(ai: openai.OpenAI) -> None:
    text = f"<think>hm hm</think> I look. {CALL}"
    events = list(ai.responses.create(model="tiny", input=text, tools=TOOLS, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events if not event.type.endswith(".delta")]
    item = ["response.output_item.added", "response.content_part.added"]
    done = ["response.content_part.done", "response.output_item.done"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        *item,
        "response.reasoning_text.done",
        *done,
        *item,
        "response.output_text.done",
        *done,
        "response.output_item.added",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    last: Any = events[-1]
    assert [one.type for one in last.response.output] == ["reasoning", "message", "function_call"]
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == last.response.output_text == "I look."
    call = last.response.output[2]
    assert (call.name, call.arguments) == ("weather", '{"city": "Paris"}')
    whole = ai.responses.create(model="tiny", input=text, tools=TOOLS)
    assert [one.type for one in whole.output] == ["reasoning", "message", "function_call"]
    assert whole.output_text == last.response.output_text


def test_a_chat_goes_on_after_a_stored_response(ai: openai.OpenAI) -> None:
    first = ai.responses.create(model="tiny", input="one", instructions="Count the words here.")
    second = ai.responses.create(model="tiny", input="two", previous_response_id=first.id)
    alone = ai.responses.create(model="tiny", input="two", store=False)
    assert first.usage is not None and second.usage is not None and alone.usage is not None
    # The earlier messages are read again, the instructions are not.
    assert second.usage.input_tokens > alone.usage.input_tokens
    same: Any = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]
    spelled = ai.responses.create(model="tiny", input=same)
    assert spelled.usage is not None and spelled.usage.input_tokens == second.usage.input_tokens
    assert ai.responses.retrieve(first.id).output_text == "one"
    ai.responses.delete(first.id)
    for gone in (first.id, alone.id):
        with pytest.raises(openai.NotFoundError, match="no response"):
            ai.responses.create(model="tiny", input="x", previous_response_id=gone)


def test_log_probabilities_come_with_the_text(ai: openai.OpenAI) -> None:
    response = ai.responses.create(
        model="tiny", input="good day", include=["message.output_text.logprobs"], top_logprobs=1
    )
    found: Any = response.output[0]
    assert [one.token for one in found.content[0].logprobs] == ["good", " day"]


def test_items_become_the_messages_of_a_chat() -> None:
    messages = item_messages(
        [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'},
            {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]},
        ]
    )
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["reasoning_content"] == "I look."
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1", "c2"]
    assert messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "sunny"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "'input' must be a text, or a list"),
        ({"input": [5]}, 400, "'input' must be a text, or a list"),
        ({"input": []}, 400, "at least one message"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "'item_reference' are not supported"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, 400, "must have an 'input_audio'"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, 400, "Each part of a message"),
        ({"input": [{"role": "user", "content": 5}]}, 400, "content of a message"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, 400, "Only tools of the type function"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, 400, "'response_format' must be"),
        ({"input": "x", "store": "no"}, 400, "'store' must be true or false"),
        ({"input": "x", "truncation": "some"}, 400, "'truncation' must be"),
        ({"input": "x", "background": True}, 400, "answers in the background"),
        ({"input": "x", "conversation": "c"}, 400, "chats stored on the server"),
        ({"input": "x", "prompt": {"id": "p"}}, 400, "Prompts that are stored"),
        ({"input": "x", "previous_response_id": "resp_x"}, 404, "There is no response 'resp_x'"),
        ({"input": "x", "previous_response_id": ["x"]}, 404, "There is no response"),
        ({"input": "x", "model": "nope"}, 404, "no model named 'nope'"),
    ],
)
def test_a_bad_request_gets_a_sentence(client: httpx.Client, body: dict[str, Any], status: int, words: str) -> None:
    response = client.post("/v1/responses", json=body)
    assert (response.status_code, words in response.json()["error"]["message"]) == (status, True), response.text


def test_a_worker_that_dies_ends_the_stream_as_failed(own_client: httpx.Client) -> None:
    ai = openai.OpenAI(base_url=f"{own_client.base_url}/v1", api_key="none", max_retries=0)
    events = list(ai.responses.create(model="tiny", input="1 2 3 4 5 6 7 !exit", stream=True))
    last: Any = events[-1]
    assert last.type == "response.failed" and "exited with status" in last.response.error.message


def test_the_oldest_responses_are_forgotten() -> None:
    store = ResponseStore(most=2, most_bytes=500)
    for number in range(3):
        store.add(f"r{number}", StoredResponse([], {"number": number}))
    with pytest.raises(ResponseNotFound):
        store.get("r0")
    assert store.get("r2").response == {"number": 2}
    store.add("large", StoredResponse([{"role": "user", "content": "x" * 460}], {}))
    with pytest.raises(ResponseNotFound):
        store.get("r2")
    store.delete("large")
    store.add("others", StoredResponse([], {}, "an account"))
    with pytest.raises(ResponseNotFound):
        store.get("others")
    assert store.get("others", "an account").owner == "an account"
    store.add("r3", StoredResponse([], {}))
    assert store.get("r3").messages == []
