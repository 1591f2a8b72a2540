"""From the messages that are shown to the prompt that the engine reads, fitted to the context by whole turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.turn_order import Render, render_turns
from modules.protocol.errors import PromptError
from modules.protocol.reply_room import reply_room
from modules.runtime.model_state import ChatPromptResult


@dataclass(frozen=True)
class FittedPrompt:
    """The prompt, how many of the oldest messages were left out of it, and sentences about how it was made. `opening`:
    the reasoning that the prompt begins for the reply."""

    prompt: str
    left_out: int = 0
    notes: tuple[str, ...] = ()
    opening: str = ""


def fit(
    render: Render, system: str, path: Sequence[Message], options: ChatOptions, context: int, max_new_tokens: int
) -> FittedPrompt:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so everything goes in).

    Room for the reply is `max_new_tokens`, at most half of the context. What exceeds it goes by whole turns, the oldest
    first; the system message and the last turn stay. Once turns must go, a quarter of the room is freed at once and
    the same cut is kept while it fits: a cut that moves at every turn makes the engine read everything again each time.
    Raises PromptError where `options.overflow` is "refuse", or where the template fails.
    """
    whole, notes = render_turns(render, _turns(system, path))
    limit = context - reply_room(max_new_tokens, context)
    if not context or whole.tokens <= limit:
        return FittedPrompt(whole.prompt, 0, notes, whole.opening)
    if options.overflow == "refuse":
        raise PromptError(
            f"This chat has {whole.tokens} tokens; the context holds {context}, of which {context - limit} are kept "
            "for the reply. Let Paddock leave out the oldest messages, lower Longest reply, or load the model with a "
            "larger context."
        )
    starts = [place for place, message in enumerate(path) if message.role == "user" and place > 0]
    if not starts:
        return FittedPrompt(whole.prompt, 0, notes, whole.opening)

    def cut(place: int) -> tuple[ChatPromptResult, FittedPrompt]:
        result, about = render_turns(render, _turns(system, path[place:]))
        return result, FittedPrompt(result.prompt, place, about, result.opening)

    last = next((message.meta.get("left_out", 0) for message in reversed(path) if message.role == "assistant"), 0)
    if last in starts:
        result, fitted = cut(last)
        if limit // 2 <= result.tokens <= limit:
            return fitted
    return _least_cut(cut, starts, limit * 3 // 4)


def _least_cut(
    cut: Callable[[int], tuple[ChatPromptResult, FittedPrompt]], starts: Sequence[int], goal: int
) -> FittedPrompt:
    """Leave out as few turns as reach `goal` tokens, found by halving; the last turn alone where none does."""
    low, high = 0, len(starts) - 1
    best: FittedPrompt | None = None
    while low <= high:
        middle = (low + high) // 2
        result, fitted = cut(starts[middle])
        if result.tokens <= goal:
            best, high = fitted, middle - 1
        else:
            low = middle + 1
    return best or cut(starts[-1])[1]


def _turns(system: str, path: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages for a template, without empty ones."""
    opening = [{"role": "system", "content": system}] if system.strip() else []
    texts = ((message.role, prompt_text(message)) for message in path)
    return [*opening, *({"role": role, "content": text} for role, text in texts if text.strip())]
