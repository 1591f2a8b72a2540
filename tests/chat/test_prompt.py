"""From messages to a prompt that fits. A token is a word here, and rendering joins words with the roles."""

from __future__ import annotations

from typing import Any

import pytest

from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import plain
from modules.chat.parts_reader import split_stored
from modules.chat.prompt import FittedPrompt, chat_request, cut_facts
from modules.chat.prompt import fit as fit_request
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult
from modules.protocol.sampling import SamplingParams

OPTIONS = ChatOptions()


class Renderer:
    """Words as tokens; counts its calls. `strict`: only user and assistant, in turns, the user first."""

    def __init__(self, strict: bool = False) -> None:
        self.calls = 0
        self.strict = strict

    def __call__(self, messages: list[dict[str, Any]]) -> ChatPromptResult:
        self.calls += 1
        for place, message in enumerate(messages):
            if self.strict and message["role"] != ("user", "assistant")[place % 2]:
                raise PromptError("Roles must alternate. Choose another template.")
        prompt = "".join(f"[{message['role']}] {message['content']} " for message in messages)
        return ChatPromptResult(prompt, len(prompt.split()), "test")


def fit(
    render: Any, system: str, path: list[Message], options: ChatOptions, context: int, longest: int
) -> FittedPrompt:
    """Fit a chat as a reply does."""
    request = chat_request(system, path, options, SamplingParams(max_new_tokens=longest))
    return fit_request(render, request, context, lambda texts: [len(text.split()) for text in texts])


def chat(*texts: str, first: str = "user", **meta: Any) -> list[Message]:
    """Return alternating messages. `meta` goes to the last reply."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    found = [Message(str(n), None, roles[n % 2], plain(text), 0.0) for n, text in enumerate(texts)]
    for message in reversed(found):
        if message.role == "assistant":
            message.meta.update(meta)
            break
    return found


def test_a_chat_that_fits_is_rendered_once() -> None:
    render = Renderer()
    fitted = fit(render, "be kind", chat("a b", "c", "d"), OPTIONS, 100, 10)
    assert fitted.prompt == "[system] be kind [user] a b [assistant] c [user] d "
    assert (fitted.left_out, fitted.notes, render.calls) == (0, (), 1)


def test_an_unknown_context_cuts_nothing() -> None:
    assert fit(Renderer(), "", chat(*["word " * 50] * 9), OPTIONS, 0, 500).left_out == 0


@pytest.mark.parametrize("turns", [5, 10, 100, 501])
def test_the_oldest_turns_go_until_the_reply_has_room(turns: int) -> None:
    render = Renderer()
    path = chat(*["one two three four"] * (2 * turns), "the question")
    fitted = fit(render, "system words", path, OPTIONS, 60, 20)
    assert len(fitted.prompt.split()) + 20 <= 60
    assert fitted.prompt.startswith("[system] system words [user] ") and fitted.prompt.endswith("the question ")
    assert path[fitted.left_out].role == "user"
    assert render.calls < 14


def test_a_reply_notes_which_messages_its_prompt_left_out() -> None:
    path = chat("first", "reply", "second", "reply", "third", "reply")
    assert cut_facts(path, 0) == {}
    facts = cut_facts(path, 2)
    assert facts == {"left_out": 2, "cut_moved": True}
    path[3].meta.update(facts)
    assert cut_facts(path, 2)["cut_moved"] is False
    assert cut_facts(path, 4) == {"left_out": 4, "cut_moved": True}
    assert cut_facts(path, 0, covered=2) == {"left_out": 2, "cut_moved": False}
    assert cut_facts(path, 2, covered=2)["left_out"] == 4


def test_a_last_turn_that_is_too_long_is_left_to_the_engine() -> None:
    path = chat("old", "older", "word " * 100)
    fitted = fit(Renderer(), "sys", path, OPTIONS, 60, 20)
    assert fitted.left_out == 2 and fitted.prompt.split()[:4] == ["[system]", "sys", "[user]", "word"]
    assert fit(Renderer(), "", path[2:], OPTIONS, 60, 20).left_out == 0


def test_a_huge_limit_for_the_reply_takes_no_more_than_half_of_the_context() -> None:
    path = chat(*["one two three four"] * 4, "the question")
    assert fit(Renderer(), "", path, OPTIONS, 60, 100_000).left_out == 0
    assert fit(Renderer(), "", path, OPTIONS, 40, 100_000).left_out > 0


def test_a_refusal_has_the_token_counts_and_a_next_step() -> None:
    path = chat(*["one two three four"] * 20, "the question")
    with pytest.raises(PromptError, match=r"103 tokens; the context holds 60, of which 20 are kept.*larger context"):
        fit(Renderer(), "", path, ChatOptions(overflow="refuse"), 60, 20)


def test_empty_replies_are_skipped_and_neighbours_of_one_role_are_joined() -> None:
    fitted = fit(Renderer(strict=True), "", chat("first", "", "second", "reply", "third"), OPTIONS, 100, 10)
    assert fitted.prompt == "[user] first\n\nsecond [assistant] reply [user] third "


def test_a_template_without_system_or_greeting_gets_them_in_the_first_question() -> None:
    fitted = fit(
        Renderer(strict=True), "be kind", chat("hello!", "hi", "yes?", first="assistant")[:2], OPTIONS, 100, 10
    )
    assert fitted.prompt == "[user] be kind\n\nhello!\n\nhi "
    assert len(fitted.notes) == 1 and "template" in fitted.notes[0]


def test_a_template_that_always_fails_gives_its_own_error() -> None:
    def broken(messages: list[dict[str, Any]]) -> ChatPromptResult:
        raise PromptError(f"Broken with {len(messages)} messages.")

    with pytest.raises(PromptError, match="Broken with 2 messages"):
        fit(broken, "sys", chat("hi"), OPTIONS, 100, 10)


def test_reasoning_of_earlier_turns_is_apart_and_a_reply_that_is_continued_is_whole() -> None:
    thought = "<think>Hm.</think>\n\nYes."
    path = chat("really?", "", "sure?", "")
    for place in (1, 3):
        path[place] = Message(str(place), None, "assistant", split_stored(thought), 0.0)
    asked = chat_request("", path[:3], OPTIONS, SamplingParams()).messages
    assert asked[1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    continued = chat_request("", path, OPTIONS, SamplingParams(), continue_last=True).messages
    assert continued[1] == asked[1]
    assert continued[3] == {"role": "assistant", "content": thought}


def test_reasoning_in_what_an_extension_made_of_a_reply_is_apart_too() -> None:
    path = chat("really?", "Yes.", internal="<think>Hm.</think>No.")
    asked = chat_request("", [*path, *chat("sure?")], OPTIONS, SamplingParams()).messages
    assert asked[1] == {"role": "assistant", "content": "No.", "reasoning_content": "Hm."}
