"""Bring messages of any order into turns that chat templates accept, for page, API and command line alike.

Many templates need user and assistant to alternate, the user first, with a system message only at the beginning, and
raise an error otherwise. So neighbours of one role are joined. If a template still refuses, later system messages
become user messages; if it refuses again, everything before the first question is put into that question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from modules.families.message_content import join_contents
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult

MOVED = (
    "The model's chat template accepts system messages only at the beginning, so later ones were put into user "
    "messages."
)
FOLDED = (
    "The model's chat template accepts nothing before the first question, so the system message or greeting was put "
    "into the question."
)
Render = Callable[[Sequence[Mapping[str, object]]], ChatPromptResult]


class RenderedTurns(NamedTuple):
    """The prompt, sentences about what was moved, and the turns as they were rendered."""

    result: ChatPromptResult
    notes: tuple[str, ...]
    turns: Sequence[Mapping[str, object]]


def merge_same_role(messages: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return the chat with neighbours of one role joined, without their reasoning. Messages with more than text,
    such as a tool's result, are left unchanged."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        before = turns[-1] if turns else {}
        if before.get("role") == message["role"] and _plain(before) and _plain(message):
            same_name = before.get("name") == message.get("name")
            dropped = ("reasoning_content",) if same_name else ("reasoning_content", "name")
            first = {key: value for key, value in before.items() if key not in dropped}
            turns[-1] = {**first, "content": join_contents(before["content"], message["content"])}
        else:
            turns.append(dict(message))
    return turns


def _plain(message: Mapping[str, object]) -> bool:
    names = {"role", "content", "name", "reasoning_content"}
    return message["role"] in ("system", "user", "assistant") and message.keys() <= names


def render_turns(render: Render, messages: Sequence[Mapping[str, object]]) -> RenderedTurns:
    """Render the messages in the first order that the template accepts.

    Raises the template's own PromptError where it accepts none.
    """
    turns = merge_same_role(messages)
    try:
        return RenderedTurns(render(turns), (), turns)
    except PromptError as error:
        for change, note in ((_moved, MOVED), (_folded, FOLDED)):
            other = change(turns)
            if other is not None:
                try:
                    return RenderedTurns(render(other), (note,), other)
                except PromptError:
                    continue
        raise error from None


def _moved(turns: Sequence[Mapping[str, object]]) -> list[dict[str, object]] | None:
    """Return the turns with later system messages as user messages; None if there are none."""
    later = [place for place, turn in enumerate(turns) if turn["role"] == "system" and place > 0]
    if not later:
        return None
    return merge_same_role({**turn, "role": "user"} if place in later else turn for place, turn in enumerate(turns))


def _folded(turns: Sequence[Mapping[str, object]]) -> list[dict[str, object]] | None:
    """Return the turns with everything before the first question put into it; None if nothing is before it."""
    turns = _moved(turns) or turns
    first = next((place for place, turn in enumerate(turns) if turn["role"] == "user"), len(turns) - 1)
    if first == 0 and turns[0]["role"] == "user":
        return None
    before = [turn["content"] for turn in turns[: first + 1] if turn["content"]]
    opening = reduce(join_contents, before) if before else ""
    return merge_same_role([{"role": "user", "content": opening}, *turns[first + 1 :]])
