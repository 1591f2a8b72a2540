"""text-generation-webui's fields for characters, templates and the context, over real HTTP with the echo loader."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from modules.api.chat_modes import read_mode
from modules.app import App
from modules.chat.characters import Character
from modules.chat.roleplay.card_fields import CardFields
from modules.protocol.commands import Generate
from modules.protocol.errors import SettingError
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow


@pytest.fixture
def seen(echo: App, monkeypatch: pytest.MonkeyPatch) -> list[Generate]:
    """Return the list of the chats that the worker gets."""
    found: list[Generate] = []
    generate = echo.supervisor.generate_chat

    def note(chat: Generate, opening: bool = False, client: str = "") -> Any:
        found.append(chat)
        return generate(chat, opening, client)

    monkeypatch.setattr(echo.supervisor, "generate_chat", note)
    return found


def _ask(app: App, *contents: str, **more: Any) -> Any:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(contents)]
    with serving(app) as address:
        response = httpx.post(f"{address}/v1/chat/completions", json={"messages": messages, **more}, timeout=90)
    assert response.status_code == 200, response.text
    return response.json()


def _prompt(app: App, chat: Generate) -> str:
    result = app.supervisor.chat_prompt(chat.messages, chat.template, chat.continue_last, chat.variables)
    return result.prompt + chat.reply_prefix


def test_a_character_speaks_in_a_dialogue(echo: App, seen: list[Generate]) -> None:
    echo.characters.save("Ada", Character("Ada", "{{char}} helps {{user}}.", "Hello, {{user}}!"))
    answer = _ask(echo, "good day", mode="chat", character="Ada", name1="Bo", user_bio="{{user}} is a bot.")
    assert _prompt(echo, seen[0]) == ("Ada helps Bo.\n\nBo is a bot.\n\nAda: Hello, Bo!\nBo: good day\nAda:")
    assert {"\nBo:", "\nAda:"} <= set(seen[0].params.stop)
    # The echo loader repeats the last line, and the space after the name is left out.
    assert answer["choices"][0]["message"]["content"] == "Ada:"
    assert "warnings" not in answer


def test_the_clients_own_context_names_and_greeting_replace_the_characters(echo: App, seen: list[Generate]) -> None:
    echo.characters.save("Ada", Character("Ada", "Old.", "Old."))
    _ask(echo, "x", mode="chat", character="Ada", name2="Eve", context="{{char}} waits.", greeting="Yes?")
    assert _prompt(echo, seen[0]) == "Eve waits.\n\nEve: Yes?\nYou: x\nEve:"
    _ask(echo, "x", "y", "z", mode="chat", greeting="Yes?", chat_template_str="{{ messages | length }} {{ name2 }} ")
    # A chat that has begun gets no greeting.
    assert _prompt(echo, seen[1]) == "4 AI AI:"


def test_an_instruction_holds_the_dialogue(echo: App, seen: list[Generate]) -> None:
    more = {"mode": "chat-instruct", "name2": "Eve", "instruction_template_str": "[{{ messages[0]['content'] }}]"}
    _ask(echo, "x", chat_instruct_command="Be <|character|>: <|prompt|>", **more)
    assert _prompt(echo, seen[0]) == "[Be Eve: You: x]Eve:"
    _ask(echo, "x", mode="chat-instruct")
    assert seen[1].messages[0]["content"].startswith("Continue the chat dialogue below.")


def test_a_dialogue_is_continued(echo: App, seen: list[Generate]) -> None:
    _ask(echo, "x", "I am", mode="chat", continue_=True)
    assert _prompt(echo, seen[0]) == "You: x\nAI: I am"


def test_a_template_by_name_or_as_text_replaces_the_models(echo: App, seen: list[Generate]) -> None:
    _ask(echo, "x", instruction_template="alpaca")
    assert _prompt(echo, seen[0]) == "### Instruction:\nx\n### Response:\n"
    _ask(echo, "x", instruction_template_str="<{{ messages[0]['content'] }}>")
    assert _prompt(echo, seen[1]) == "<x>"


def test_fields_of_characters_have_no_effect_without_one(echo: App) -> None:
    mode = read_mode(echo, {"name1": "Bo", "greeting": "Hi", "mode": None, "character": None})
    assert mode.warnings == ("name1, greeting need the mode chat or chat-instruct, and were ignored.",)
    answer = _ask(echo, "good day", name2="Ada")
    assert answer["warnings"] == ["name2 needs the mode chat or chat-instruct, and was ignored."]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"mode": "notebook"}, "'mode' must be one of"),
        ({"mode": "chat", "character": "Nemo"}, "no character named 'Nemo'"),
        ({"mode": "chat", "name1": 5}, "'name1' must be a text"),
        ({"instruction_template": "Nope"}, "no instruction template named 'Nope'"),
        ({"instruction_template_str": "{% for %}"}, "syntax error"),
        ({"truncation_length": -1}, "'truncation_length' must be a whole number"),
        ({"continue_": "yes"}, "'continue_' must be true or false"),
    ],
)
def test_wrong_values_get_a_sentence(client: httpx.Client, body: dict[str, Any], words: str) -> None:
    chat = {"messages": [{"role": "user", "content": "x"}]}
    response = client.post("/v1/chat/completions", json={**chat, **body})
    assert response.status_code == 400, response.text
    assert words in response.json()["error"]["message"]


@pytest.mark.parametrize("chat", [False, True])
def test_a_shorter_context_leaves_out_the_oldest_tokens(client: httpx.Client, chat: bool) -> None:
    text = " ".join(f"w{number}" for number in range(50))
    body = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    path = "/v1/chat/completions" if chat else "/v1/completions"
    answer = client.post(path, json={**body, "truncation_length": 30, "max_tokens": 10}).json()
    assert answer["usage"]["prompt_tokens"] == 20
    assert "'truncation_length' leaves room for 20" in answer["warnings"][0]
    whole = client.post(path, json={**body, "truncation_length": 4000, "max_tokens": 10}).json()
    assert whole["usage"]["prompt_tokens"] >= 50 and "warnings" not in whole


def test_what_is_ignored_is_named_in_a_header(client: httpx.Client) -> None:
    response = client.post("/v1/completions", json={"prompt": "x", "wibblé": 3})
    assert response.headers["X-Paddock-Warning"] == "wibbl? is not a parameter here and was ignored."
    assert "X-Paddock-Warning" not in client.post("/v1/completions", json={"prompt": "x"}).headers


def _card(**more: Any) -> CardFields:
    book = {
        "entries": [
            {"keys": ["sword"], "content": "The sword of {{char}} glows.", "enabled": True, "insertion_order": 1},
            {"keys": ["boat"], "content": "The boat sinks.", "enabled": True, "insertion_order": 2},
        ]
    }
    return CardFields(post_history_instructions="Answer {{user}} in rhyme.", system_prompt="Play.", book=book, **more)


def test_a_cards_lorebook_and_instructions_are_used_as_in_chats(
    echo: App, seen: list[Generate], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Character("Ada", "{{char}} helps.", "Hello!", card=_card())
    monkeypatch.setattr(echo.characters, "load", lambda name: ada)
    _ask(echo, "Where is the sword, {{char}}?", mode="chat", character="Ada", name1="Bo")
    # The system prompt and the context, entries that a key calls, and the instructions last. Own texts stay.
    assert _prompt(echo, seen[0]) == (
        "The sword of Ada glows.\n\nPlay.\nAda helps.\n\nAda: Hello!\nBo: Where is the sword, {{char}}?\n"
        "Answer Bo in rhyme.\n\nAda:"
    )
    _ask(echo, "x", "I am", mode="chat", character="Ada", name1="Bo", continue_=True)
    assert _prompt(echo, seen[1]).endswith("Bo: x\nAnswer Bo in rhyme.\n\nAda: I am")
    more = {"character": "Ada", "instruction_template_str": "{{ messages[0].content }}"}
    _ask(echo, "The sword?", mode="chat-instruct", **more)
    assert "glows" in _prompt(echo, seen[2]) and "boat" not in _prompt(echo, seen[2])
    # Without a character nothing of it is used.
    _ask(echo, "sword")
    assert "glows" not in str(seen[3].messages)


MOON = {"keys": ["moon"], "content": "The moon is green.", "enabled": True, "insertion_order": 1}


def test_a_lorebook_for_all_chats_counts_for_characters_of_the_api(echo: App, seen: list[Generate]) -> None:
    lorebooks = echo.chats.lorebooks
    assert lorebooks is not None
    lorebooks.save("World", {"entries": [MOON]}, everywhere=True)
    _ask(echo, "the moon", mode="chat", name2="Eve")
    assert "The moon is green." in _prompt(echo, seen[0])
    answer = _ask(echo, "x", mode="chat", group=["Ada", "Eve"])
    assert answer["warnings"] == ["group is not a parameter here and was ignored."]


def test_a_request_names_lorebooks_of_its_own(echo: App, seen: list[Generate]) -> None:
    echo.chats.lorebooks.save("World", {"entries": [MOON]})
    _ask(echo, "the moon", mode="chat", name2="Eve")
    _ask(echo, "the moon", mode="chat", name2="Eve", lorebooks=["World"])
    assert ["The moon is green." in _prompt(echo, chat) for chat in seen] == [False, True]
    answer = _ask(echo, "the moon", lorebooks=["World"])
    assert answer["warnings"] == ["lorebooks needs the mode chat or chat-instruct, and was ignored."]


@pytest.mark.parametrize("value", ["World", [1], ["World", "../secret"]])
def test_lorebooks_that_are_no_names_of_lorebooks_are_refused(echo: App, value: Any) -> None:
    echo.chats.lorebooks.save("World", {"entries": [MOON]})
    with pytest.raises(SettingError, match="lorebook"):
        read_mode(echo, {"mode": "chat", "lorebooks": value})
