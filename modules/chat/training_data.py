"""Chats as data for training: one JSON line for each chat, in the form that `webui.py train` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from modules.chat.messages import Message
from modules.chat.parts import visible_text
from modules.protocol.errors import PaddockError

RATING = "rating"
GOOD, BAD = 1, -1


def training_line(messages: Sequence[Message], system: str = "", *, only_good: bool = False) -> str:
    """Return {"messages": [{"role", "content"}, …]} of a chat as one line of JSON, or "" if nothing of it is left.

    It ends with its last reply. A reply that is rated bad, or that failed, is left out together with its question and
    all that follows, because later replies rest on it. `only_good`: the chat ends with its last reply that is rated
    good. Reasoning and calls of tools are left out.
    """
    turns: list[dict[str, str]] = []
    end = 0
    for message in messages:
        text = visible_text(message.parts).strip()
        rating = message.meta.get(RATING)
        if message.role == "assistant" and (rating == BAD or message.meta.get("error")):
            break
        if not text:
            continue
        turns.append({"role": message.role, "content": text})
        is_answer = message.role == "assistant" and any(turn["role"] == "user" for turn in turns)
        if is_answer and (rating == GOOD or not only_good):
            end = len(turns)
    if not end:
        return ""
    first = [{"role": "system", "content": system}] if system.strip() and turns[0]["role"] != "system" else []
    return json.dumps({"messages": [*first, *turns[:end]]}, ensure_ascii=False)


def write_training(chats: Iterable[tuple[Sequence[Message], str]]) -> str:
    """Return the lines of all chats, each given with its system prompt.

    As soon as one reply is rated good, only chats with such replies are written. Raises PaddockError if none is left.
    """
    chosen = list(chats)
    only_good = any(message.meta.get(RATING) == GOOD for messages, _ in chosen for message in messages)
    lines = [training_line(messages, system, only_good=only_good) for messages, system in chosen]
    lines = [line for line in lines if line]
    if not lines:
        raise PaddockError("There are no replies to train on. Choose chats with answered questions that are not bad.")
    return "\n".join(lines) + "\n"
