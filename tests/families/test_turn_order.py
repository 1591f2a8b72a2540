"""From messages of any order to turns that strict templates take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from modules.families.turn_order import FOLDED, MOVED, merge_same_role, render_turns
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult

Chat = list[tuple[str, str]]


def _messages(chat: Chat) -> list[dict[str, Any]]:
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": names[role], "content": text} for role, text in chat]


def _strict(system: bool) -> Any:
    """Return a template that takes only alternating turns, after a system message if it supports one."""

    def render(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        turns = messages[1:] if system and messages[0]["role"] == "system" else messages
        for place, message in enumerate(turns):
            if message["role"] != ("user", "assistant")[place % 2]:
                raise PromptError("Conversation roles must alternate user/assistant.")
        return ChatPromptResult(" ".join(f"{one['role'][0]}:{one['content']}" for one in messages), 1, "test")

    return render


@pytest.mark.parametrize(
    ("chat", "with_system", "without"),
    [
        ([("u", "1")], "u:1", "u:1"),
        ([("s", "0"), ("u", "1")], "s:0 u:1", "u:0\n\n1"),
        ([("s", "0"), ("s", "1"), ("u", "2")], "s:0\n\n1 u:2", "u:0\n\n1\n\n2"),
        ([("u", "1"), ("u", "2")], "u:1\n\n2", "u:1\n\n2"),
        ([("u", "1"), ("a", "2"), ("a", "3"), ("u", "4")], "u:1 a:2\n\n3 u:4", "u:1 a:2\n\n3 u:4"),
        ([("a", "0"), ("u", "1"), ("a", "2"), ("u", "3")], "u:0\n\n1 a:2 u:3", "u:0\n\n1 a:2 u:3"),
        ([("s", "0"), ("a", "1"), ("u", "2")], "u:0\n\n1\n\n2", "u:0\n\n1\n\n2"),
        ([("u", "1"), ("a", "2"), ("s", "3"), ("u", "4")], "u:1 a:2 u:3\n\n4", "u:1 a:2 u:3\n\n4"),
        ([("s", "0"), ("u", "1"), ("s", "2"), ("a", "3"), ("u", "4")], "s:0 u:1\n\n2 a:3 u:4", "u:0\n\n1\n\n2 a:3 u:4"),
        ([("u", "1"), ("s", "2")], "u:1\n\n2", "u:1\n\n2"),
        ([("s", "0")], "s:0", "u:0"),
        ([("a", "0")], "u:0", "u:0"),
    ],
)
def test_strict_templates_get_turns(chat: Chat, with_system: str, without: str) -> None:
    assert render_turns(_strict(True), _messages(chat))[0].prompt == with_system
    assert render_turns(_strict(False), _messages(chat))[0].prompt == without


def test_what_was_moved_is_said() -> None:
    assert render_turns(_strict(True), _messages([("s", "0"), ("u", "1")]))[1] == ()
    assert render_turns(_strict(False), _messages([("s", "0"), ("u", "1")]))[1] == (FOLDED,)
    assert render_turns(_strict(True), _messages([("u", "1"), ("s", "2")]))[1] == (MOVED,)


def test_a_lenient_template_gets_system_messages_where_they_were() -> None:
    def render(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        return ChatPromptResult("".join(one["role"][0] for one in messages), 1, "test")

    found = render_turns(render, _messages([("s", "0"), ("u", "1"), ("s", "2"), ("u", "3"), ("u", "4"), ("a", "5")]))
    assert found[0].prompt == "susua"


def test_what_no_order_helps_keeps_the_templates_own_words() -> None:
    def render(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        raise PromptError(f"No {len(messages)}.")

    with pytest.raises(PromptError, match=r"No 2\."):
        render_turns(render, _messages([("s", "0"), ("u", "1")]))


def test_messages_that_hold_more_than_a_text_are_not_joined() -> None:
    calls = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    chat = [calls, calls, *_messages([("t", "1"), ("t", "2"), ("u", "3")])]
    assert merge_same_role(chat) == chat
    named = [{"role": "user", "content": "1", "name": "Ann"}, {"role": "user", "content": "2", "name": "Ben"}]
    assert merge_same_role(named) == [{"role": "user", "content": "1\n\n2"}]
    assert merge_same_role([named[0], named[0]]) == [{"role": "user", "content": "1\n\n1", "name": "Ann"}]
