"""The room in the context that is reserved for a reply: one rule for chat, API and worker."""

from __future__ import annotations


def reply_room(max_new_tokens: int, context: int) -> int:
    """Return how many tokens of the context are reserved for the reply.

    That is `max_new_tokens`, but at most half of the context, so that a large limit does not displace the prompt.
    """
    return min(max_new_tokens, context // 2)
