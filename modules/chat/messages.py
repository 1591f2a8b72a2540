"""The values that describe a chat: its head, its messages, the reply being written, and options for prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.generation.generation import Generation

NEW_CHAT = "New chat"
_TITLE_LENGTH = 40


class NotSaved(PaddockError):
    """A request failed before anything was stored. The page leaves the text in its input."""

    code = "not_saved"


@dataclass(frozen=True)
class ChatHead:
    """An entry of the list of chats. `updated`: seconds since the epoch; `character`: its name, or ""."""

    id: str
    title: str
    updated: float
    character: str = ""


@dataclass(frozen=True)
class Message:
    """One message on the path that is shown.

    `version` counts from 1 among the `versions` that share a parent. `meta` of a reply: model, loader, reason,
    prompt_tokens, cached_tokens, cut_tokens, generated_tokens, prefill_seconds, decode_seconds, context, seed, stopped;
    left_out (messages that did not fit), notes (sentences), error (a sentence), detail, code, lower (settings to
    lower), cut_off (Paddock was killed while it was written), unsaved (a sentence: the text is in memory only).
    Of a user's message: raw (the hooks for sent messages have not run on it, because it was edited or a hook failed).
    Of any message: internal (its text in prompts, if extensions made it differ from the shown text); receipt (what each
    extension changed: a list of {"extension", "hook", "before", "after"}).
    """

    id: str
    parent: str | None
    role: str
    text: str
    created: float
    version: int = 1
    versions: int = 1
    meta: dict[str, Any] = field(default_factory=dict)


def prompt_text(message: Message) -> str:
    """Return the text of a message in prompts."""
    return str(message.meta.get("internal", message.text))


def make_title(text: str) -> str:
    """Return the first words of a message, at most about 40 characters."""
    words = " ".join(text.split())
    if len(words) <= _TITLE_LENGTH:
        return words
    return f"{words[: _TITLE_LENGTH + 1].rpartition(' ')[0] or words[:_TITLE_LENGTH]}…"


@dataclass(frozen=True)
class LiveReply:
    """The reply that is being written. Its text is `prefix` (what it continues) and then the generation's."""

    message_id: str
    generation: Generation
    prefix: str = ""


@dataclass(frozen=True)
class ChatOptions:
    """How a prompt is made from a chat.

    `template`: a chat template to use instead of the model's. `system`: the system message, after a character's
    context. `overflow`: for a history that exceeds the context, cut its oldest turns or refuse the reply. `name1`,
    `name2`: the user's and the model's names, for {{user}} and {{char}}. `character`: instead of the chat's own.
    """

    template: str = ""
    system: str = ""
    overflow: Literal["cut", "refuse"] = "cut"
    name1: str = "You"
    name2: str = "AI"
    character: str = ""
