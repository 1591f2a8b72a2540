"""Requests of API clients run the same hooks as the page, unless a client disables them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.protocol.commands import Generate
from tests.plugins.conftest import PATIENCE, Talk
from tests.support.pictures import RED, png
from tests.support.server import serving
from tests.support.several_models import serve_models

# Whole servers.
pytestmark = pytest.mark.slow

ALL = """
def state_modifier(state):
    state["max_new_tokens"] = 6
def input_modifier(string, state, is_chat):
    return string.replace("2d6", "7") + (" chat" if is_chat else " text")
def output_modifier(string, state, is_chat):
    return f"<{string}>"
"""
ASKED = {"messages": [{"role": "user", "content": "I roll 2d6"}]}


class Api:
    """A client and the extensions of its server."""

    def __init__(self, client: httpx.Client, talk: Talk) -> None:
        self.client, self.talk = client, talk

    def chat(self, **body: Any) -> Any:
        """Return the body of a chat's answer."""
        return self.client.post("/v1/chat/completions", json=ASKED | body).json()

    def said(self, **body: Any) -> str:
        """Return the text of a chat's answer."""
        return str(self.chat(**body)["choices"][0]["message"]["content"])

    def streamed(self, path: str, body: dict[str, Any]) -> list[Any]:
        """Return the parts of a stream."""
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]


@pytest.fixture
def api(talk: Talk) -> Iterator[Api]:
    """Return a client of a server without enabled extensions."""
    with serving(talk.app) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield Api(client, talk)


def test_a_chat_runs_the_hooks_on_texts_and_state(api: Api) -> None:
    assert api.said() == "I roll 2d6"
    api.talk.add("all", ALL)
    assert api.said() == "<I roll 7 chat>"
    assert api.said(messages=[{"role": "user", "content": "a b c d e f g h"}]) == "<a b c d e f>"


def test_a_text_to_continue_runs_them_and_keeps_the_clients_words(api: Api) -> None:
    api.talk.add("all", ALL)
    body = api.client.post("/v1/completions", json={"prompt": "I roll 2d6"}).json()
    assert body["choices"][0]["text"] == "<I roll 7 text>"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_stream_holds_what_the_hooks_made_of_the_answer(api: Api, path: str) -> None:
    api.talk.add("all", ALL)
    parts = api.streamed(path, {**ASKED, "prompt": "I roll 2d6"})
    choices = [part["choices"][0] for part in parts]
    text = "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)
    assert text == ("<I roll 7 chat>" if "chat" in path else "<I roll 7 text>")
    assert choices[-1]["finish_reason"] == "stop"


def test_a_stream_that_no_hook_changes_at_its_end_comes_piece_by_piece(api: Api) -> None:
    api.talk.app.models.load("tiny", "echo", {"delay": 0.1})
    api.talk.add("dice", "def input_modifier(string):\n    return string.replace('2d6', '7')")
    parts = api.streamed("/v1/chat/completions", {"messages": [{"role": "user", "content": "2d6 a b c d e"}]})
    pieces = [part["choices"][0]["delta"].get("content") for part in parts]
    assert len([piece for piece in pieces if piece]) > 2 and "".join(filter(None, pieces)) == "7 a b c d e"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_can_ask_for_no_extensions(api: Api, stream: bool) -> None:
    api.talk.add("all", ALL)
    body = {**ASKED, "extensions": False}
    if stream:
        parts = api.streamed("/v1/chat/completions", body)
        text = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)
        assert "warnings" not in parts[0]
    else:
        answer = api.chat(**body)
        text = answer["choices"][0]["message"]["content"]
        assert "warnings" not in answer
    assert text == "I roll 2d6"
    refused = api.client.post("/v1/chat/completions", json={**ASKED, "extensions": "no"})
    assert refused.status_code == 400 and "'extensions' must be true or false" in refused.json()["error"]["message"]


def test_without_extensions_those_in_the_worker_stay_out_too(api: Api) -> None:
    asked: list[bool] = []
    generate = api.talk.app.supervisor.generate_chat

    def note(chat: Generate, *rest: Any) -> Any:
        asked.append(chat.hooks)
        return generate(chat, *rest)

    api.talk.app.supervisor.generate_chat = note  # type: ignore
    api.said(extensions=False)
    api.said()
    assert asked == [False, True]


def test_an_extension_may_make_the_prompt_of_a_chat_and_not_of_a_text(api: Api) -> None:
    code = "def custom_generate_chat_prompt(user_input, state, history):\n    return f'Q {user_input} {history}'"
    api.talk.add("own", code)
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    pair = "[['one', 'two']]"
    assert api.said(messages=messages) == f"Q three {{'internal': {pair}, 'visible': {pair}}}"
    body = api.client.post("/v1/completions", json={"prompt": "hello"}).json()
    assert body["choices"][0]["text"] == "hello"


@pytest.mark.parametrize("stream", [False, True])
def test_an_extension_may_answer_in_place_of_the_model(api: Api, stream: bool) -> None:
    code = "def custom_generate_reply(question, original_question):\n    yield 'I am'\n    yield 'I am no model'"
    api.talk.add("parrot", code)
    if stream:
        parts = api.streamed("/v1/completions", {"prompt": "hello", "stream_options": {"include_usage": True}})
        text = "".join(part["choices"][0]["text"] for part in parts if part["choices"])
        usage = parts[-1]["usage"]
    else:
        body = api.client.post("/v1/completions", json={"prompt": "hello"}).json()
        text, usage = body["choices"][0]["text"], body["usage"]
    assert text == "I am no model" and usage["completion_tokens"] == 4


def test_hooks_see_the_clients_system_message_and_history_and_may_change_both(api: Api) -> None:
    code = """
        def history_modifier(history):
            history["internal"] = [[user.upper(), reply] for user, reply in history["internal"]]
            return history
        def state_modifier(state):
            state["context"] += " And rhyme."
        """
    api.talk.add("change", code)
    prompts = api.talk.prompts()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    api.said(messages=messages)
    assert "Be brief. And rhyme." in prompts[0] and "ONE" in prompts[0] and prompts[0].count("three") == 1


def test_messages_that_no_hook_changes_keep_their_places(api: Api) -> None:
    api.talk.add("dice", "def input_modifier(string):\n    return string.replace('2d6', '7')")
    seen: list[Any] = []
    generate = api.talk.app.supervisor.generate_chat

    def note(chat: Generate, *rest: Any) -> Any:
        seen.append(chat.messages)
        return generate(chat, *rest)

    api.talk.app.supervisor.generate_chat = note  # type: ignore
    messages = [
        {"role": "user", "content": "2d6 first", "name": "ada"},
        {"role": "assistant", "content": "ok"},
        {"role": "system", "content": "in between"},
        {"role": "user", "content": "2d6"},
    ]
    assert api.said(messages=messages) == "7"
    assert seen[0] == [*messages[:-1], {"role": "user", "content": "7"}]


def test_a_missing_service_fails_only_that_request(api: Api) -> None:
    api.talk.add("lookup", "def input_modifier(string):\n    raise ConnectionError('gone')")
    response = api.client.post("/v1/chat/completions", json=ASKED)
    assert response.status_code == 503 and "could not do its part" in response.json()["error"]["message"]
    assert api.said(extensions=False) == "I roll 2d6"
    assert api.talk.manager.running.get("lookup") is not None


def test_a_service_lost_at_the_end_is_also_an_error_in_a_stream(api: Api) -> None:
    api.talk.add("lookup", "def output_modifier(string):\n    raise TimeoutError")
    assert api.client.post("/v1/chat/completions", json=ASKED).status_code == 503
    assert "could not do its part" in api.streamed("/v1/chat/completions", ASKED)[-1]["error"]["message"]


def test_a_failed_hook_is_a_warning_and_the_request_is_answered(api: Api) -> None:
    api.talk.add("bad", "def input_modifier(string):\n    raise ValueError('broken')")
    answer = api.chat()
    assert answer["choices"][0]["message"]["content"] == "I roll 2d6"
    assert "Bad failed in input_modifier" in answer["warnings"][0]


def test_prefixes_of_scripts_are_also_hidden_in_the_api(api: Api) -> None:
    api.talk.add("shown", "def bot_prefix_modifier(string):\n    return 'Sure: '")
    assert api.said().startswith("Sure: ")
    parts = api.streamed("/v1/chat/completions", ASKED)
    assert "".join(part["choices"][0]["delta"].get("content") or "" for part in parts).startswith("Sure: ")


def test_without_extensions_a_request_makes_no_turn(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.api.start_generation.hooked_chat", None)
    assert api.said() == "I roll 2d6"


def test_images_pass_the_hooks_and_reach_the_model(api: Api) -> None:
    api.talk.app.models.load("tiny", "echo", {"sees_images": True})
    api.talk.add("all", ALL)
    api.talk.add("counts", "def custom_tokenized_length(prompt):\n    return 1\n")
    parts = [
        {"type": "text", "text": "I roll 2d6"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png(RED)).decode()}"}},
    ]
    text = api.said(messages=[{"role": "user", "content": parts}])
    # The hook changed the text, so the image comes before it, and the last line is the text.
    assert text == "<I roll 7 chat>"
    finished = api.talk.app.supervisor.last_finished()
    assert finished is not None
    plain = api.said()
    again = api.talk.app.supervisor.last_finished()
    assert plain == "<I roll 7 chat>" and again is not None
    assert finished.prompt_tokens == again.prompt_tokens + 1


OWN_WORDS = """
def output_modifier(string, host):
    return f"{host.model}: {host.generate('hey', max_new_tokens=3)} {host.detokenize(host.tokenize(string))}"
"""


@pytest.mark.parametrize("stream", [False, True])
def test_hooks_of_a_request_use_its_model_and_not_the_pages(tmp_path: Path, stream: bool) -> None:
    with contextmanager(serve_models)(tmp_path, ("tiny", "other"), max_models=2) as server:
        api = Api(server.client, Talk(server.app))
        api.talk.add("own", OWN_WORDS)
        asked = {"prompt": "hello", "model": "other"}
        if stream:
            said = "".join(part["choices"][0]["text"] for part in api.streamed("/v1/completions", asked))
        else:
            said = server.client.post("/v1/completions", json=asked).json()["choices"][0]["text"]
        assert said == "other: hey hello"
        # The page's model is the other one, and its hooks use that.
        assert api.talk.ask("hello")[-1].text == "tiny: hey hello"
