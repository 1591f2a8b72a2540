"""Fit the tokens of a prompt to the context: leave out the oldest, or refuse the prompt."""

from __future__ import annotations

from modules.protocol.errors import PromptError
from modules.protocol.reply_room import reply_room


def fit_prompt(
    tokens: list[int], context: int, max_new_tokens: int, truncate: bool, keep_first: int = 0
) -> tuple[list[int], int]:
    """Return (the tokens of the prompt that are used, the number of those left out).

    With `truncate`, room for the reply is reserved (`reply_room`): the tokens after the first `keep_first` (BOS) are
    left out until the rest fits. Without it the whole prompt is used, and the reply may end early at the end of the
    context. Raises PromptError if there is no room for a single token of the reply.
    """
    if not truncate:
        if len(tokens) >= context:
            raise PromptError(
                f"The prompt has {len(tokens)} tokens, and the context takes {context}. "
                "Shorten it, load the model with a larger context, or let Paddock cut the oldest text."
            )
        return tokens, 0
    room = max(1, context - reply_room(max_new_tokens, context))
    if len(tokens) <= room:
        return tokens, 0
    first = tokens[: min(keep_first, room - 1)]
    kept = first + tokens[len(tokens) - (room - len(first)) :]
    return kept, len(tokens) - len(kept)
