"""Where the words of a search occur in the messages of chats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from modules.chat.store import ChatStore
from modules.chat.tree import like_pattern

_BEFORE, _AFTER = 40, 110
# Messages shown for each chat, and chats for which messages are looked up.
_MOST_HITS = 3
_MOST_CHATS = 60


@dataclass(frozen=True)
class SearchHit:
    """A message with a searched word. `excerpt`: the text around it."""

    chat: str
    message: str
    role: str
    excerpt: str


def find_messages(store: ChatStore, chats: Sequence[str], search: str) -> list[SearchHit]:
    """Return the newest messages with a word of `search` in these chats, at most three of each chat.

    Those with every word come first.
    """
    words = [word.casefold() for word in search.split()]
    if not words:
        return []
    return [hit for chat_id in chats[:_MOST_CHATS] for hit in _hits_of(store, chat_id, words)]


def _hits_of(store: ChatStore, chat_id: str, words: Sequence[str]) -> list[SearchHit]:
    having = " + ".join(["(casefold(p.text) LIKE ? ESCAPE '\\')"] * len(words))
    query = f"""SELECT m.id, m.role, p.text, ({having}) AS found FROM messages m JOIN parts p ON p.message = m.id
        WHERE m.chat = ? AND NOT m.deleted AND found ORDER BY found DESC, m.seq DESC LIMIT ?"""
    values = (*(like_pattern(word) for word in words), chat_id, _MOST_HITS)
    rows = store.database.of(chat_id).rows(query, values)
    return [SearchHit(chat_id, row["id"], row["role"], excerpt(row["text"], words)) for row in rows]


def excerpt(text: str, words: Sequence[str]) -> str:
    """Return the text around the first of these words, which are in lower case, on one line."""
    plain = " ".join(text.split())
    # Folding may change the length of a text, so places are looked up in the text itself.
    found = [re.search(re.escape(word), plain, re.IGNORECASE) for word in words]
    places = [match.start() for match in found if match]
    start = max(0, min(places, default=0) - _BEFORE)
    end = start + _BEFORE + _AFTER
    return f"{'…' if start else ''}{plain[start:end].strip()}{'…' if end < len(plain) else ''}"
