"""What the page sees of a chat: heads, messages, the reply being written, and how a reply is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.generation.generation import Generation

NEW_CHAT = "New chat"


class NotSaved(PaddockError):
    """What was asked was not done and nothing of it was stored: a page leaves the text where it was typed."""

    code = "not kept"


@dataclass(frozen=True)
class ChatHead:
    """One line of the list of chats. `updated`: seconds since the epoch; `character`: its name, or ""."""

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
    Of a user's message: raw (the hooks on messages that are sent have not run on it: it was edited, or one of them
    could not do its part). Of any message: internal (what prompts hold of it, where extensions made that differ from
    its text); receipt (what each extension changed: a list of {"extension", "hook", "before", "after"}).
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
    """The text that prompts hold of a message."""
    return str(message.meta.get("internal", message.text))


@dataclass(frozen=True)
class LiveReply:
    """The reply that is being written. Its text is `prefix` (what it continues) and then the generation's."""

    message_id: str
    generation: Generation
    prefix: str = ""


@dataclass(frozen=True)
class ChatOptions:
    """How a prompt is made from a chat.

    `template`: a chat template to use in place of the model's. `system`: the system message; a character's context
    comes before it. `overflow`: what happens to a history that exceeds the context: its oldest turns are left out, or
    the reply is refused. `name1`, `name2`: the user's and the model's names, for {{user}} and {{char}}.
    `character`: in place of the chat's own.
    """

    template: str = ""
    system: str = ""
    overflow: Literal["cut", "refuse"] = "cut"
    name1: str = "You"
    name2: str = "AI"
    character: str = ""
