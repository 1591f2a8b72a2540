"""From messages of any order to turns that chat templates take: one rule for the page, the API and the command line.

Many templates want user and assistant by turns, the user first, and a system message at the very beginning or nowhere;
they raise where a chat is otherwise. So neighbours of one role are joined, and what a template refuses is rendered once
more with the rest of the system messages said by the user, and then with all that comes before the first question put
into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from modules.protocol.errors import PromptError
from modules.runtime.model_state import ChatPromptResult

MOVED = (
    "The model's chat template takes system messages at the beginning only, so the later ones are in messages of the "
    "user."
)
FOLDED = (
    "The model's chat template takes nothing before the first question, so the system message or greeting was put into "
    "the question."
)
Render = Callable[[list[dict[str, Any]]], ChatPromptResult]


def merge_same_role(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same chat with neighbours of one role as one message. What holds more than a text, such as a tool's result,
    stays as it is."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        before = turns[-1] if turns else {}
        if before.get("role") == message["role"] and _plain(before) and _plain(message):
            same_name = before.get("name") == message.get("name")
            kept = before if same_name else {key: value for key, value in before.items() if key != "name"}
            turns[-1] = {**kept, "content": f"{before['content']}\n\n{message['content']}"}
        else:
            turns.append(dict(message))
    return turns


def _plain(message: dict[str, Any]) -> bool:
    return message["role"] in ("system", "user", "assistant") and message.keys() <= {"role", "content", "name"}


def render_turns(render: Render, messages: Sequence[dict[str, Any]]) -> tuple[ChatPromptResult, tuple[str, ...]]:
    """(the prompt, sentences about what was moved). Raises the template's own PromptError where no order helps."""
    turns = merge_same_role(messages)
    try:
        return render(turns), ()
    except PromptError as error:
        for change, note in ((_moved, MOVED), (_folded, FOLDED)):
            other = change(turns)
            if other is not None:
                try:
                    return render(other), (note,)
                except PromptError:
                    continue
        raise error from None


def _moved(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """System messages after the first said by the user; None if there are none."""
    later = [place for place, turn in enumerate(turns) if turn["role"] == "system" and place > 0]
    if not later:
        return None
    return merge_same_role({**turn, "role": "user"} if place in later else turn for place, turn in enumerate(turns))


def _folded(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """All before the first question put into it; None where nothing is."""
    turns = _moved(turns) or turns
    first = next((place for place, turn in enumerate(turns) if turn["role"] == "user"), len(turns) - 1)
    if first == 0 and turns[0]["role"] == "user":
        return None
    opening = "\n\n".join(turn["content"] for turn in turns[: first + 1] if turn["content"])
    return merge_same_role([{"role": "user", "content": opening}, *turns[first + 1 :]])
