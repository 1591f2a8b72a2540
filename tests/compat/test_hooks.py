"""Hooks of a script.py in all their signatures, on the echo loader, which repeats the prompt's last line."""

from __future__ import annotations

import pytest

from tests.compat.conftest import Stage
from tests.plugins.conftest import OPTIONS, PARAMS


@pytest.mark.parametrize(
    "signature",
    [
        "string",
        "text, state",
        "string, state, is_chat",
        "string, is_chat=False",
        "anything, state, is_chat=True",
        "*args",
    ],
)
def test_input_modifier_changes_only_the_prompt_in_every_signature(stage: Stage, signature: str) -> None:
    first = "args[0]" if signature == "*args" else signature.split(",")[0]
    stage.script("more", f"def input_modifier({signature}):\n    return {first} + ' more'")
    asked, reply = stage.ask("hello")
    assert (asked.text, asked.meta["internal"], reply.text) == ("hello", "hello more", "hello more")


@pytest.mark.parametrize("signature", ["string", "output, state", "string, state, is_chat", "string, is_chat"])
def test_output_modifier_in_every_arity_changes_what_is_shown(stage: Stage, signature: str) -> None:
    first = signature.split(",")[0]
    stage.script("loud", f"def output_modifier({signature}):\n    return {first}.upper()")
    assert stage.ask("hello")[-1].text == "HELLO"


def test_is_chat_is_true_and_the_state_is_the_state(stage: Stage) -> None:
    stage.script("reports", "def input_modifier(string, state, is_chat):\n    return f\"{is_chat} {state['name1']}\"")
    assert stage.ask("hello")[-1].text == "True You"


def test_chat_input_modifier_changes_both_texts(stage: Stage) -> None:
    stage.script("both", "def chat_input_modifier(typed, seen, state):\n    return typed + '!', seen + '?'")
    asked, reply = stage.ask("hello")
    assert (asked.text, reply.text) == ("hello?", "hello!")


def test_state_and_history_modifiers_take_part(stage: Stage) -> None:
    stage.script(
        "short",
        """
        seen = []

        def history_modifier(history):
            seen.append(len(history["internal"]))
            return history

        def state_modifier(state):
            state["max_new_tokens"] = 2
            return state
        """,
    )
    chat = stage.app.chats.create().id
    stage.ask("one two three", chat)
    assert stage.ask("one two three", chat)[-1].text == "one two"


def test_a_script_that_changes_the_state_and_returns_nothing_leaves_the_prompt_to_the_host(stage: Stage) -> None:
    stage.script(
        "context",
        """
        def custom_generate_chat_prompt(user_input, state, **kwargs):
            state["context"] = "Today is {{weekday}}.".replace("{{weekday}}", "Monday")
            return
        """,
    )
    prompts = stage.prompts()
    assert stage.ask("hello")[-1].text == "hello"
    assert "Today is Monday." in prompts[0] and prompts[0].startswith("<|im_start|>system")


def test_a_script_may_build_its_prompt_with_the_hosts_builder(stage: Stage) -> None:
    stage.script(
        "wrapped",
        """
        from modules import chat

        def custom_generate_chat_prompt(user_input, state, **kwargs):
            return chat.generate_chat_prompt(user_input + " indeed", state, **kwargs)
        """,
    )
    chat = stage.app.chats.create().id
    assert stage.ask("hello", chat)[-1].text == "hello indeed"
    assert stage.ask("again", chat)[-1].text == "again indeed"


def test_a_prompt_hook_gets_the_continue_flag(stage: Stage) -> None:
    module = stage.script(
        "goes_on",
        """
        seen = []

        def custom_generate_chat_prompt(text, state, _continue=False, history=None, **kwargs):
            seen.append((text, _continue, history["internal"]))
        """,
    )
    chat = stage.app.chats.create().id
    stage.ask("hello", chat)
    stage.app.chats.continue_reply(chat, PARAMS, OPTIONS)
    stage.settle(chat)
    assert module.seen == [("hello", False, []), ("hello", True, [["hello", "hello"]])]


@pytest.mark.parametrize(
    "signature",
    [
        "question, original_question, state, stopping_strings, is_chat=False",
        "question, original_question, seed, state, stopping_strings, is_chat=False",
        "prompt, asked, seed, state, eos_token=None, stopping_strings=None",
    ],
)
def test_custom_generate_reply_with_and_without_a_seed(stage: Stage, signature: str) -> None:
    code = f"""
        def custom_generate_reply({signature}):
            assert isinstance(state, dict)
            yield "I"
            yield "I " + state["name2"]
        """
    stage.script("own", code)
    assert stage.ask("hello")[-1].text == "I AI"


def test_what_a_script_puts_in_front_of_a_reply_is_hidden_from_the_user(stage: Stage) -> None:
    stage.script("happy", "def bot_prefix_modifier(string):\n    return string + ' *happily*'")
    prompts = stage.prompts()
    chat = stage.app.chats.create().id
    _, reply = stage.ask("hello", chat)
    assert prompts[0].endswith(" *happily*")
    # The echo loader repeats the prompt's last line, without the prefix.
    assert reply.text == "*happily*" and "internal" not in reply.meta
    stage.ask("again", chat)
    assert prompts[1].count("*happily*") == 2 and prompts[1].endswith(" *happily*")


def test_only_prefixes_of_scripts_are_hidden(stage: Stage) -> None:
    stage.add("shown", "def bot_prefix_modifier(string):\n    return string + 'Sure, '")
    stage.script("hidden", "def bot_prefix_modifier(string, state):\n    return string + 'X '")
    stage.add("last", "def bot_prefix_modifier(string):\n    return string + 'yes: '")
    prompts = stage.prompts()
    _, reply = stage.ask("hello")
    assert prompts[0].endswith("Sure, X yes: ")
    assert reply.text.startswith("Sure, yes: ")


def test_a_failed_script_is_named_and_the_chat_continues(stage: Stage) -> None:
    stage.script("bad", "def input_modifier(string):\n    return string.no_such_thing")
    _, reply = stage.ask("hello")
    assert reply.text == "hello" and "Bad failed in input_modifier" in reply.meta["notes"][0]
