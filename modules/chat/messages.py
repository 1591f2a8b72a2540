"""The values that describe a chat: its head, its messages, the reply being written, and options for prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modules.chat.parts import Part, raw_text, visible_text
from modules.chat.roleplay.card_fields import DepthPrompt
from modules.chat.roleplay.group_settings import Group
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
    """An entry of the list of chats.

    `updated`, `created`: seconds since the epoch; `character`: its name, or ""; `folder`: the id of its folder, or "".
    `temporary`: it is in memory only. `place`: its number among the chats that were made or imported here.
    """

    id: str
    title: str
    updated: float
    character: str = ""
    created: float = 0.0
    pinned: bool = False
    archived: bool = False
    folder: str = ""
    tags: tuple[str, ...] = ()
    temporary: bool = False
    place: int = 0

    @property
    def own_title(self) -> str:
        """The title that a person or the first question gave it, or ""."""
        return "" if self.title == NEW_CHAT else self.title

    def is_called(self, name: str) -> bool:
        """Return True for its id, or its title in upper or lower case."""
        return self.id == name.strip() or self.title.casefold() == name.strip().casefold()


@dataclass(frozen=True)
class Message:
    """One message on the path that is shown. `parts`: its files, its reasoning and its text.

    `version` counts from 1 among the `versions` that share a parent. `meta` of a reply: model, loader, reason,
    prompt_tokens, cached_tokens, cut_tokens, generated_tokens, prefill_seconds, decode_seconds, context, seed, stopped;
    left_out, cut_moved (as in prompt.cut_facts), notes (sentences), error (a sentence), detail, code,
    lower (settings to lower), cut_off (Paddock was killed while it was written), unsaved (a sentence: the text is in
    memory only), passages (of the knowledge, that the model read: a list of {"number", "knowledge", "document",
    "name", "start", "stop", "page", "line", "text"}).
    Of a user's message: raw (the hooks for sent messages have not run on it, because it was edited or a hook failed).
    Of a reply: speaker (the character's file name), lore (entries of lorebooks in its prompt: {"id", "book", "entry",
    "why"}). Of a system message: narrator (a person wrote what happens). Of a character's first message: greeting.
    Of any message: internal (its text in prompts, if extensions made it differ from the shown text); receipt (what each
    extension changed: a list of {"extension", "hook", "before", "after"}).
    """

    id: str
    parent: str | None
    role: str
    parts: tuple[Part, ...]
    created: float
    version: int = 1
    versions: int = 1
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return the text to show, copy and edit: without reasoning."""
        return visible_text(self.parts)

    @property
    def raw(self) -> str:
        """Return the message as it was written, with reasoning and its markers."""
        return raw_text(self.parts)


def prompt_text(message: Message) -> str:
    """Return what prompts hold of a message, with reasoning and its markers."""
    return str(message.meta.get("internal", message.raw))


def make_title(text: str) -> str:
    """Return the first words of a message, at most about 40 characters."""
    words = " ".join(text.split())
    if len(words) <= _TITLE_LENGTH:
        return words
    return f"{words[: _TITLE_LENGTH + 1].rpartition(' ')[0] or words[:_TITLE_LENGTH]}…"


@dataclass(frozen=True)
class LiveReply:
    """The reply that is being written. `parts()` returns what there is of it.

    `changes` grows with what changes apart from text that arrives. `calls()` returns (state, where the tool comes from)
    of the calls that ask or run, by their ids.
    """

    message_id: str
    generation: Generation
    parts: Callable[[], tuple[Part, ...]]
    changes: int = 0
    calls: Callable[[], dict[str, tuple[str, str]]] = dict


@dataclass(frozen=True)
class ChatOptions:
    """How a prompt is made from a chat.

    `template`: a chat template to use instead of the model's. `system`: the system message, after a character's
    context. `overflow`: for a history that exceeds the context, cut its oldest turns, also let the model summarize
    them, or refuse the reply. `name1`, `name2`: the user's and the model's names, for {{user}} and {{char}}.
    `character`: instead of the chat's own.
    `thinking`: whether the model reasons, None as its template decides; `effort`: how much, such as "low", or "";
    `thinking_budget`: tokens of reasoning after which it has to answer, 0 for no limit. `knowledge`: names of the
    knowledge whose passages go before the question. `persona`: who the user is, for the model;
    `note`: the author's note; `lorebooks`: those of the chat; `group`: the characters of a group chat.
    """

    template: str = ""
    system: str = ""
    overflow: Literal["cut", "summarize", "refuse"] = "cut"
    name1: str = "You"
    name2: str = "AI"
    character: str = ""
    thinking: bool | None = None
    effort: str = ""
    thinking_budget: int = 0
    knowledge: tuple[str, ...] = ()
    persona: str = ""
    note: DepthPrompt = DepthPrompt()
    lorebooks: tuple[str, ...] = ()
    group: Group | None = None
