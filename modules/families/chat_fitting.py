"""Fit a chat to the context by whole turns: in the worker, and in the host where an extension counts the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from modules.families.message_content import is_blank
from modules.families.turn_order import Render, RenderedTurns, render_turns
from modules.protocol.errors import PromptError
from modules.protocol.reply_room import reply_room


class FittedChat(NamedTuple):
    """The rendered turns, and how many messages after the first `keep_first` were left out of them."""

    rendered: RenderedTurns
    left_out: int = 0


def fit_chat(
    render: Render,
    messages: Sequence[dict[str, Any]],
    *,
    context: int,
    max_new_tokens: int,
    refuse: bool = False,
    keep_first: int = 0,
    left_out: int = 0,
) -> FittedChat:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so all messages go in).

    If the chat is too long, whole turns are left out, the oldest first; the first `keep_first` messages and the last
    turn stay. A quarter of the room is then freed at once, and the cut of the previous reply (`left_out`) is reused
    while it fits, because a cut that moves at every turn makes the engine read the whole prompt again each time.
    Messages without text and images are skipped. Raises PromptError if the chat is too long and `refuse` is set, or if
    the template fails.
    """
    first, rest = messages[:keep_first], messages[keep_first:]

    def cut(place: int) -> FittedChat:
        turns = [message for message in (*first, *rest[place:]) if _has_content(message)]
        return FittedChat(render_turns(render, turns), place)

    whole = cut(0)
    tokens = whole.rendered.result.tokens
    limit = context - reply_room(max_new_tokens, context)
    if not context or tokens <= limit:
        return whole
    if refuse:
        raise PromptError(
            f"This chat has {tokens} tokens; the context holds {context}, of which {context - limit} are kept "
            "for the reply. Let Paddock leave out the oldest messages, lower Maximum reply length, or load the model "
            "with a larger context."
        )
    starts = [place for place, message in enumerate(rest) if message["role"] == "user" and place > 0]
    if not starts:
        return whole
    if left_out in starts:
        same = cut(left_out)
        if limit // 2 <= same.rendered.result.tokens <= limit:
            return same
    return _least_cut(cut, starts, limit * 3 // 4)


def _has_content(message: dict[str, Any]) -> bool:
    """Return True for a message with text, calls of tools, or the result of one, which may be empty."""
    return message["role"] == "tool" or bool(message.get("tool_calls")) or not is_blank(message["content"])


def _least_cut(cut: Callable[[int], FittedChat], starts: Sequence[int], goal: int) -> FittedChat:
    """Leave out the fewest turns that reach `goal` tokens, found by bisection; all but the last turn if none do."""
    low, high = 0, len(starts) - 1
    best: FittedChat | None = None
    while low <= high:
        middle = (low + high) // 2
        fitted = cut(starts[middle])
        if fitted.rendered.result.tokens <= goal:
            best, high = fitted, middle - 1
        else:
            low = middle + 1
    return best or cut(starts[-1])
