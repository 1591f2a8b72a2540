"""The settings for thinking reach the chat template and the worker, and it is said where they have no effect."""

from __future__ import annotations

import pytest

from modules.app import App
from modules.chat.chat_preferences import unknown_to_template
from modules.chat.messages import ChatOptions
from modules.chat.prompt import chat_request
from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams

# Writes what it reads; the echo loader repeats the last line.
TEMPLATE = (
    "{{ messages[-1]['content'] }} {{ enable_thinking|default('unset') }} {{ thinking|default('unset') }} "
    "{{ reasoning_effort|default('unset') }}"
)


def _ask(app: App) -> str:
    chat = app.chats.create().id
    app.chats.send(chat, "read", SamplingParams(), app.chat_preferences.options(chat))
    living = app.chats.live_reply(chat)
    if living:
        living.generation.wait(90)
    return app.chats.messages(chat)[-1].text


def test_switch_and_effort_reach_the_template(echo: App) -> None:
    echo.chat_preferences.set_template("tiny", TEMPLATE)
    assert _ask(echo) == "read unset unset unset"
    echo.settings.update({"thinking": "off", "effort": "high"})
    assert _ask(echo) == "read False False high"
    echo.settings.set("thinking", "on")
    assert _ask(echo) == "read True True high"


def test_the_budget_is_part_of_the_request_and_a_wrong_one_is_refused(app: App) -> None:
    app.settings.set("thinking_budget", 300)
    options = app.chat_preferences.options()
    assert chat_request("", [], options, SamplingParams()).thinking_budget == 300
    app.settings.set("thinking_budget", "much")
    with pytest.raises(SettingError, match="thinking_budget cannot be 'much'"):
        app.chat_preferences.options()


def test_what_a_template_does_not_know_is_named() -> None:
    wanted = ChatOptions(thinking=False, effort="low", thinking_budget=100)
    assert unknown_to_template(ChatOptions(), "") == []
    assert len(unknown_to_template(wanted, "{{ message.thinking }}{{ m['reasoning_effort'] }}")) == 3
    assert unknown_to_template(wanted, "{% if enable_thinking %}<think>{% endif %}") == ["effort of thinking"]
    assert unknown_to_template(wanted, "{{ reasoning_effort }}<|channel|>{% if thinking %}") == []
