"""Summaries that stand in prompts for the oldest messages of a chat, which did not fit into the context.

They lie in the chat's settings as `summary`: a list of {"text", "upto", "of", "edited"}, the newest first. `upto` is
how many messages one covers, `of` a hash of what these say. So it counts for every branch that begins with the same
messages, also in a copy of the chat, and for no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from modules.chat.chat_settings import ChatSettings
from modules.chat.messages import Message, prompt_text

_KEY = "summary"
# Summaries of other branches and earlier ones are kept, up to so many.
_MOST = 8
LONGEST = 20_000
_INTRODUCTION = "A summary of the earlier messages of this chat, which are left out here:"


@dataclass(frozen=True)
class Summary:
    """`text` stands for the first `upto` messages, whose hash is `of`. `edited`: a person wrote it or changed it."""

    text: str
    upto: int
    of: str
    edited: bool = False


def hash_messages(path: Sequence[Message]) -> str:
    """Return a hash of what these messages say in prompts."""
    found = hashlib.sha256()
    for message in path:
        found.update(f"{message.role}\0{prompt_text(message)}\0".encode("utf-8", "surrogatepass"))
    return found.hexdigest()[:32]


def find_summary(stored: object, path: Sequence[Message]) -> Summary | None:
    """Return the summary that covers most of the path's beginning, but not its last message. None: there is none."""
    known = [one for entry in stored if (one := _read(entry))] if isinstance(stored, list) else []
    for one in sorted(known, key=lambda one: one.upto, reverse=True):
        if one.upto < len(path) and hash_messages(path[: one.upto]) == one.of:
            return one
    return None


def add_summary(stored: object, summary: Summary) -> list[dict[str, object]]:
    """Return the stored list with this summary first. It replaces one of the same messages; "" only removes that."""
    others = [one for entry in (stored if isinstance(stored, list) else []) if (one := _read(entry))]
    kept = [one for one in others if one.of != summary.of]
    # Those that a person wrote go last.
    kept.sort(key=lambda one: not one.edited)
    first = [summary] if summary.text.strip() else []
    return [asdict(one) for one in [*first, *kept][:_MOST]]


def without_summaries(stored: object, path: Sequence[Message]) -> list[dict[str, object]]:
    """Return the stored list without those of this path's beginnings, so that all of its messages come back."""
    known = [one for entry in (stored if isinstance(stored, list) else []) if (one := _read(entry))]
    return [asdict(one) for one in known if one.upto > len(path) or hash_messages(path[: one.upto]) != one.of]


def with_summary(system: str, summary: Summary | None) -> str:
    """Return a system message that has the summary."""
    return f"{system}\n\n{_INTRODUCTION}\n{summary.text}".strip() if summary else system


class ChatSummaries:
    """The summaries of all chats. `changed(chat_id)` is called after a change. Raises StorageError."""

    def __init__(self, settings: ChatSettings, changed: Callable[[str], None]) -> None:
        self._settings, self._changed = settings, changed

    def notify(self, chat_id: str) -> None:
        """Tell pages that show the chat that something about its summary changed."""
        self._changed(chat_id)

    def find(self, chat_id: str, path: Sequence[Message]) -> Summary | None:
        """Return the summary that prompts of this path have, or None."""
        return find_summary(self._settings.get(chat_id).get(_KEY), path)

    def put(self, chat_id: str, path: Sequence[Message], text: str, edited: bool = False) -> None:
        """Let `text` stand for these messages, which begin the chat. "" removes their summary and those of fewer."""
        stored = self._settings.get(chat_id).get(_KEY)
        if not text.strip():
            # An earlier summary would else stand for some of them again.
            stored = without_summaries(stored, path)
        summary = Summary(text.strip()[:LONGEST], len(path), hash_messages(path), edited)
        self._settings.change(chat_id, {_KEY: add_summary(stored, summary) or None})
        self._changed(chat_id)


def _read(entry: object) -> Summary | None:
    match entry:
        case {"text": str(text), "upto": int(upto), "of": str(of), **others} if text.strip() and upto > 0:
            return Summary(text[:LONGEST], upto, of, others.get("edited") is True)
    return None
