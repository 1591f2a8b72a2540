"""Making a prompt fit the context: cut its oldest tokens and say how many, or refuse."""

from __future__ import annotations

from modules.protocol.errors import PromptError
from modules.protocol.reply_room import reply_room


def fit_prompt(
    tokens: list[int], context: int, max_new_tokens: int, truncate: bool, keep_first: int = 0
) -> tuple[list[int], int]:
    """(the prompt's tokens that are read, how many of them were left out).

    With `truncate`, room for the reply is kept: `max_new_tokens`, but no more than half of the context, so that a huge
    limit does not eat the prompt. The first `keep_first` tokens (BOS) stay; what is cut follows them. Without it the
    whole prompt is read and the reply may end early, at the context's end. Raises PromptError where not one token of
    reply would fit.
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
