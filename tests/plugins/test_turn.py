"""What each hook of a turn changes, on the echo loader, which repeats the last line of its prompt."""

from __future__ import annotations

from typing import Any

import pytest

from modules.chat.messages import ChatOptions
from modules.plugins.extension_overview import extension_statuses
from modules.protocol.commands import Generate
from tests.plugins.conftest import OPTIONS, PARAMS, Talk


def test_the_input_hook_changes_the_prompt_and_not_what_is_shown(talk: Talk) -> None:
    talk.add("dice", "def input_modifier(string, state, is_chat):\n    return string.replace('2d6', '7')")
    asked, reply = talk.ask("I roll 2d6")
    assert (asked.text, asked.meta["internal"]) == ("I roll 2d6", "I roll 7")
    assert reply.text == "I roll 7"


def test_the_output_hook_changes_what_is_shown_and_not_later_prompts(talk: Talk) -> None:
    talk.add("loud", "def output_modifier(string):\n    return string.upper()")
    chat = talk.app.chats.create().id
    _, reply = talk.ask("say this", chat)
    assert (reply.text, reply.meta["internal"]) == ("SAY THIS", "say this")
    prompts = talk.prompts()
    talk.ask("and that", chat)
    assert "say this" in prompts[0] and "SAY THIS" not in prompts[0]


def test_hooks_run_in_the_order_of_the_list_and_the_list_can_be_changed(talk: Talk) -> None:
    for name in "abc":
        talk.add(name, f"def input_modifier(string):\n    return string + ' {name}'")
    assert talk.ask("x")[-1].text == "x a b c"
    talk.manager.move("c", 0)
    assert talk.ask("x")[-1].text == "x c a b"
    assert [status.name for status in extension_statuses(talk.manager) if status.state == "on"] == ["c", "a", "b"]


def test_the_state_hook_sets_sampling_parameters_and_the_context(talk: Talk) -> None:
    talk.add(
        "short",
        """
        def state_modifier(state):
            state["max_new_tokens"] = 2
            state["context"] = "A rule."
        """,
    )
    _, reply = talk.ask("one two three four")
    assert reply.text == "one two" and reply.meta["reason"] == "length"


def test_a_value_that_cannot_be_used_is_a_note_and_the_users_own_stays(talk: Talk) -> None:
    talk.add("odd", "def state_modifier(state):\n    state['temperature'] = -4")
    _, reply = talk.ask("hello there")
    assert reply.text == "hello there"
    assert "An extension set a value that cannot be used." in reply.meta["notes"][0]


def test_the_state_hook_may_put_a_template_in_the_place_of_the_models(talk: Talk) -> None:
    code = "def state_modifier(state):\n    state['instruction_template_str'] = 'Say: {{ messages[-1].content }}'"
    talk.add("plain", code)
    options = ChatOptions(template="{{ messages[-1].content }}")
    chat = talk.app.chats.create().id
    talk.app.chats.send(chat, "hello", PARAMS, options)
    assert talk.settle(chat)[-1].text == "Say: hello"


def test_the_history_hook_works_on_a_copy(talk: Talk) -> None:
    talk.add("forget", "def history_modifier(history):\n    return {'internal': [], 'visible': []}")
    chat = talk.app.chats.create().id
    talk.ask("first", chat)
    messages = talk.ask("second", chat)
    assert [message.text for message in messages] == ["first", "first", "second", "second"]
    alone = talk.ask("second")[-1].meta["prompt_tokens"]
    assert messages[-1].meta["prompt_tokens"] == alone


def test_the_chat_input_hook_changes_both_texts(talk: Talk) -> None:
    talk.add("twin", "def chat_input_modifier(text, visible_text, state):\n    return 'inner', 'outer'")
    asked, reply = talk.ask("typed")
    assert (asked.text, asked.meta["internal"], reply.text) == ("outer", "inner", "inner")


def test_a_prompt_of_an_extension_is_used_as_it_is(talk: Talk) -> None:
    talk.add("own", "def custom_generate_chat_prompt(user_input, state, history):\n    return 'Q: ' + user_input")
    assert talk.ask("hello")[-1].text == "Q: hello"


def test_a_prompt_hook_that_returns_none_may_have_changed_the_state(talk: Talk) -> None:
    talk.add("limit", "def custom_generate_chat_prompt(user_input, state):\n    state['max_new_tokens'] = 1")
    assert talk.ask("one two three")[-1].text == "one"


def test_a_prompt_hook_gets_the_continued_reply(talk: Talk) -> None:
    talk.add(
        "own",
        """
        def custom_generate_chat_prompt(user_input, history, is_continue):
            return f"{is_continue} {user_input} {history['internal']}"
        """,
    )
    chat = talk.app.chats.create().id
    assert talk.ask("hi", chat)[-1].text == "False hi []"
    talk.app.chats.continue_reply(chat, PARAMS, OPTIONS)
    assert "True hi [['hi', 'False hi []']]" in talk.settle(chat)[-1].text


def test_a_prefix_is_part_of_the_reply_and_the_model_continues_it(talk: Talk) -> None:
    talk.add("sure", "def bot_prefix_modifier(string):\n    return string + 'Sure: '")
    assert talk.ask("hello")[-1].text.startswith("Sure: ")


def test_an_extension_can_answer_in_place_of_the_model(talk: Talk) -> None:
    talk.add(
        "parrot",
        """
        def custom_generate_reply(question, original_question, state, stopping_strings, is_chat):
            yield "I am"
            yield "I am no model, you said " + original_question
        """,
    )
    _, reply = talk.ask("hello")
    assert reply.text == "I am no model, you said hello" and reply.meta["reason"] == "stop"


def test_an_answer_that_shrinks_ends_with_its_last_text(talk: Talk) -> None:
    talk.add("fickle", "def custom_generate_reply(question):\n    yield 'yes'\n    yield 'no'")
    assert talk.ask("hello")[-1].text == "no"


def test_the_stream_hook_rewrites_across_arrivals_with_what_it_kept_back(talk: Talk) -> None:
    talk.add(
        "spell",
        """
        def stream_modifier(text, shown, final):
            end = len(text) if final else text.rfind(" ") + 1
            return text[:end].replace("colour", "color"), text[end:]
        """,
    )
    _, reply = talk.ask("a colour is a colour")
    assert reply.text == "a color is a color" and reply.meta["generated_tokens"] == 5


def test_the_length_hook_counts_the_prompt(talk: Talk) -> None:
    talk.add("heavy", "def custom_tokenized_length(prompt):\n    return 4000 if 'first' in prompt else 5")
    chat = talk.app.chats.create().id
    talk.ask("first", chat)
    assert talk.ask("second", chat)[-1].meta["left_out"] == 2


def test_a_continued_reply_passes_through_the_hook_as_a_whole(talk: Talk) -> None:
    talk.add("loud", "def output_modifier(string):\n    return '<' + string + '>'")
    chat = talk.app.chats.create().id
    talk.ask("one two", chat, max_new_tokens=1)
    talk.app.chats.continue_reply(chat, PARAMS, OPTIONS)
    reply = talk.settle(chat)[-1]
    assert reply.text.count("<") == 1 and reply.text.startswith("<one")


def test_the_record_of_changes_is_kept_if_enabled(talk: Talk) -> None:
    talk.add(
        "loud", "def input_modifier(string):\n    return string + '!'\ndef output_modifier(string):\n    return string"
    )
    assert "receipt" not in talk.ask("hi")[-1].meta
    talk.manager.saved.receipts = True
    assert talk.ask("hi")[-1].meta["receipt"] == [
        {"extension": "loud", "hook": "input_modifier", "before": "hi", "after": "hi!"}
    ]


def test_the_record_of_a_state_has_only_its_changes(talk: Talk) -> None:
    talk.add("hot", "def state_modifier(state):\n    state['temperature'] = 1.5\n    state['seed'] = 7")
    talk.manager.saved.receipts = True
    (change,) = talk.ask("hi")[-1].meta["receipt"]
    assert set(change["after"].split("\n")) == {"temperature: 1.5", "seed: 7"} and "seed: -1" in change["before"]


def test_a_failed_hook_is_shown_under_the_reply_and_others_run(talk: Talk) -> None:
    talk.add("bad", "def input_modifier(string):\n    raise ValueError('broken')")
    talk.add("good", "def input_modifier(string):\n    return string + ' good'")
    _, reply = talk.ask("hi")
    assert reply.text == "hi good"
    assert "Bad failed in input_modifier" in reply.meta["notes"][0]
    assert "notes" not in talk.ask("hi")[-1].meta


def test_a_failing_output_hook_leaves_the_models_words(talk: Talk) -> None:
    talk.add("bad", "def output_modifier(string):\n    raise SystemExit")
    _, reply = talk.ask("hi there")
    assert reply.text == "hi there" and "it called sys.exit" in reply.meta["notes"][0]


def test_without_extensions_no_turn_is_made(talk: Talk) -> None:
    chat = talk.app.chats.create().id
    assert talk.app.chats._replies.turn(chat, [], PARAMS, OPTIONS) is None


_WATCH = """
        seen = []
        def history_modifier(history):
            seen.append(("history", [list(pair) for pair in history["internal"]]))
        def state_modifier(state):
            seen.append(("state", [list(pair) for pair in state["history"]["internal"]]))
        def custom_generate_chat_prompt(user_input, history):
            seen.append(("prompt", user_input, [list(pair) for pair in history["internal"]]))
        """


def _seen(talk: Talk, name: str = "watch") -> list[tuple[Any, ...]]:
    running = talk.manager.running.get(name)
    assert running is not None
    found, running.plugin.seen[:] = list(running.plugin.seen), []
    return found


def test_a_reply_that_is_written_again_shows_hooks_the_turn_that_it_answers(talk: Talk) -> None:
    talk.add("watch", _WATCH)
    chat = talk.app.chats.create().id
    talk.ask("first", chat)
    reply = talk.ask("dragon", chat)[-1]
    _seen(talk)
    talk.app.chats.regenerate(chat, reply.id, PARAMS, OPTIONS)
    talk.settle(chat)
    turn = [["first", "first"], ["dragon", "dragon"]]
    assert _seen(talk) == [("history", turn), ("state", turn), ("prompt", "dragon", turn[:1])]


def test_a_question_that_is_asked_again_or_was_never_answered_is_shown_to_hooks(talk: Talk) -> None:
    talk.add("watch", _WATCH)
    chat = talk.app.chats.create().id
    question = talk.ask("dragon", chat)[0]
    for act in (
        lambda: talk.app.chats.regenerate(chat, question.id, PARAMS, OPTIONS),
        lambda: _again(talk, chat),
    ):
        _seen(talk)
        act()
        talk.settle(chat)
        assert ("state", [["dragon", ""]]) in _seen(talk)


def _again(talk: Talk, chat: str) -> None:
    while len(talk.app.chats.messages(chat)) > 1:
        talk.app.chats.delete(chat, talk.app.chats.messages(chat)[-1].id)
    talk.app.chats.continue_reply(chat, PARAMS, OPTIONS)


def test_hooks_get_the_turn_of_a_continued_reply(talk: Talk) -> None:
    talk.add("watch", _WATCH)
    chat = talk.app.chats.create().id
    talk.ask("one two", chat, max_new_tokens=1)
    _seen(talk)
    talk.app.chats.continue_reply(chat, PARAMS, OPTIONS)
    talk.settle(chat)
    turn = [["one two", "one"]]
    assert _seen(talk) == [("history", turn), ("state", turn), ("prompt", "one two", turn)]


def test_a_branch_keeps_what_prompts_hold_and_shows_it_to_hooks(talk: Talk) -> None:
    talk.add("dice", "def input_modifier(string):\n    return string.replace('2d6', '7')")
    talk.add("watch", _WATCH)
    reply = talk.ask("I roll 2d6")[-1]
    chat = next(head.id for head in talk.app.chats.chats())
    other = talk.app.chats.branch(chat, reply.id).id
    _seen(talk)
    talk.app.chats.regenerate(other, talk.app.chats.messages(other)[-1].id, PARAMS, OPTIONS)
    assert talk.settle(other)[-1].text == "I roll 7"
    assert ("state", [["I roll 7", "I roll 7"]]) in _seen(talk)


def test_the_history_hook_changes_the_question_that_is_answered_again(talk: Talk) -> None:
    code = """
        def history_modifier(history):
            if history["internal"]:
                history["internal"][-1][0] += " (lore)"
            return history
        """
    talk.add("lore", code)
    chat = talk.app.chats.create().id
    reply = talk.ask("dragon", chat)[-1]
    talk.app.chats.regenerate(chat, reply.id, PARAMS, OPTIONS)
    messages = talk.settle(chat)
    assert [message.text for message in messages] == ["dragon", "dragon (lore)"]
    assert "internal" not in messages[0].meta


@pytest.mark.parametrize(
    "kept",
    [
        "[]",
        "history['internal'][:-1]",
        "history['internal'][-1:]",
        "[['', 'a summary']]",
        "[[*history['internal'][-1]]]",
    ],
)
def test_the_question_is_answered_for_any_cut_of_the_history(talk: Talk, kept: str) -> None:
    talk.add("cut", f"def history_modifier(history):\n    history['internal'] = {kept}\n    return history")
    chat = talk.app.chats.create().id
    talk.ask("first", chat)
    reply = talk.ask("second", chat)[-1]
    talk.app.chats.regenerate(chat, reply.id, PARAMS, OPTIONS)
    assert talk.settle(chat)[-1].text == "second"


def test_a_message_that_is_edited_and_sent_again_goes_through_the_hooks(talk: Talk) -> None:
    talk.add("dice", "def input_modifier(string):\n    return string.replace('2d6', '7')")
    chat = talk.app.chats.create().id
    asked, _ = talk.ask("I roll 2d6", chat)
    edited = talk.app.chats.edit(chat, asked.id, "We roll 2d6")
    talk.app.chats.regenerate(chat, edited, PARAMS, OPTIONS)
    asked, reply = talk.settle(chat)
    assert (asked.text, asked.meta["internal"], reply.text) == ("We roll 2d6", "We roll 7", "We roll 7")
    assert "raw" not in asked.meta


def _first_messages(talk: Talk) -> list[str]:
    """Return a list that collects the first message of each chat answered from now on."""
    found: list[str] = []
    generate = talk.app.supervisor.generate_chat

    def note(chat: Generate, opening: bool = False) -> Any:
        found.append(chat.messages[0]["content"])
        return generate(chat, opening)

    talk.app.supervisor.generate_chat = note  # type: ignore
    return found


def test_without_a_character_the_context_is_the_users_system_message(talk: Talk) -> None:
    code = """
        seen = []
        def state_modifier(state):
            seen.append((state["character_menu"], state["context"]))
            state["context"] = state["context"].replace("{{weekday}}", "Monday")
        """
    talk.add("day", code)
    prompts = _first_messages(talk)
    chat = talk.app.chats.create().id
    talk.app.chats.send(chat, "hello", PARAMS, ChatOptions(system="Today is {{weekday}}."))
    talk.settle(chat)
    assert _seen(talk, "day") == [("None", "Today is {{weekday}}.")]
    assert prompts == ["Today is Monday."]


@pytest.mark.parametrize(
    ("change", "system"),
    [
        ("state['context'] = 'A'", "A"),
        ("state['custom_system_message'] = 'B'", "B"),
        ("state['context'] = 'A'; state['custom_system_message'] = 'B'", "A\n\nB"),
        ("state['context'] += ' A'", "own A"),
        ("del state['context']", "own"),
        ("pass", "own"),
    ],
)
def test_either_name_of_the_system_message_takes_effect(talk: Talk, change: str, system: str) -> None:
    talk.add("set", f"def state_modifier(state):\n    {change}")
    prompts = _first_messages(talk)
    chat = talk.app.chats.create().id
    talk.app.chats.send(chat, "hello", PARAMS, ChatOptions(system="own"))
    talk.settle(chat)
    assert prompts == [system]


def test_an_answer_in_place_of_the_model_has_as_many_tokens_as_the_model_would_count(talk: Talk) -> None:
    code = "def custom_generate_reply(question):\n    yield 'one two three'\n    yield 'one two three four five'"
    talk.add("parrot", code)
    assert talk.ask("hello")[-1].meta["generated_tokens"] == 5


def test_attached_documents_reach_the_prompt_beside_hooks(talk: Talk) -> None:
    talk.add("dice", "def input_modifier(string, state, is_chat):\n    return string.replace('2d6', '7')")
    talk.add("cut", "def history_modifier(history):\n    history['internal'] = [list(p) for p in history['internal']]")
    chats, prompts = talk.app.chats, talk.prompts()
    files = chats.files.parts([(chats.attachments.add(b"The heron waits.", "bird.txt").hash, "bird.txt")])
    chat = chats.create().id
    chats.send(chat, "I roll 2d6", PARAMS, OPTIONS, files)
    asked, reply = talk.settle(chat)
    assert "The heron waits." in prompts[0] and "(end of bird.txt)\n\nI roll 7" in prompts[0]
    assert asked.parts[0] == files[0] and "The model read bird.txt whole." in reply.meta["notes"]
    talk.ask("And now?", chat)
    assert "The heron waits." in prompts[1]
