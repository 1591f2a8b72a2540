"""What a prompt has beside its messages: the character, the persona, lorebooks, notes and the rules of a group.

The order: system prompt, lorebook entries before the character, persona, character with its examples, entries after the
character; then the messages, with texts inserted so many messages before the end; last the post-history instructions.
What changes often belongs near the end, because the engine reads a prompt again from the first change on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modules.chat.hook_state import Preamble
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import TEXT, Part, plain
from modules.chat.roleplay.lore_entry import AFTER, AT_DEPTH, BEFORE, NOTE_BOTTOM, NOTE_TOP, OUTLET
from modules.chat.roleplay.lore_scan import UsedEntry
from modules.chat.roleplay.macros import Macros
from modules.chat.roleplay.speakers import SPEAKER
from modules.protocol.sampling import SamplingParams

NARRATOR = "narrator"
_OUTLET = re.compile(r"\{\{\s*outlet::([^{}]{0,200})\}\}", re.IGNORECASE)


@dataclass(frozen=True)
class Insertion:
    """A text that goes so many messages before the end, as a message of this role. Lower orders come first."""

    text: str
    depth: int
    role: str = "system"
    order: float = 0


@dataclass(frozen=True)
class Scene:
    """What is put around and between the messages of a prompt.

    `before`, `after`: texts around the character; `persona`; `insertions`: between the messages; `names`: file name of
    a speaker -> the name to put before its messages, for groups; `outlets`: name -> the text of {{outlet::name}} in the
    character and the system prompt, whose other macros are replaced already; `values`: of macros in the user's
    messages, None to leave them alone; `meta`: for the reply; `notes`: sentences; `starts`: names that the reply may
    not begin with; `stop`: texts that end the reply.
    """

    before: str = ""
    after: str = ""
    persona: str = ""
    insertions: tuple[Insertion, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    outlets: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()

    def around(self, preamble: Preamble) -> Preamble:
        """Return what comes before the first message, with the texts around the character."""
        own, context = (fill_outlets(text, self.outlets) for text in (preamble.own, preamble.context))
        return replace(preamble, own=own, context=context, before=self.before, persona=self.persona, after=self.after)

    def stopping(self, params: SamplingParams) -> SamplingParams:
        """Return the parameters with the texts at which another speaker begins."""
        return replace(params, stop=[*params.stop, *self.stop]) if self.stop else params

    def place(self, path: Sequence[Message], continues: bool) -> list[Message]:
        """Return the messages for the prompt. `continues`: the last one is a reply to continue, so it stays last."""
        shown = [self._message(message) for message in path]
        end = len(shown) - 1 if continues else len(shown)
        texts: dict[int, list[Insertion]] = {}
        for one in sorted(self.insertions, key=lambda one: one.order):
            texts.setdefault(max(0, end - one.depth), []).append(one)
        placed: list[Message] = []
        for place in range(len(shown) + 1):
            placed += _joined(texts.get(place, ()))
            placed += shown[place : place + 1]
        return placed

    def _message(self, message: Message) -> Message:
        if message.role == "user":
            text = self._expanded(message) if self.values is not None else None
            name = self.user if self.names else ""
        elif message.role == "assistant" and self.names:
            text, name = None, self.names.get(str(message.meta.get(SPEAKER, "")), "")
        else:
            return message
        return _with_text(message, text, f"{name}: " if name else "") if text is not None or name else message

    def _expanded(self, message: Message) -> str | None:
        """Return the message's text with its macros replaced, the same in all prompts, or None without any."""
        text = str(message.meta.get("internal", message.text))
        if "{{" not in text:
            return None
        written = datetime.fromtimestamp(message.created).astimezone()
        return Macros(self.values or {}, message.id, written).expand(text)


def arrange(used: Sequence[UsedEntry]) -> dict[str, list[str]]:
    """Return the texts of lorebook entries by their position, in their order. Those at a depth are left out."""
    found: dict[str, list[str]] = {BEFORE: [], AFTER: [], NOTE_TOP: [], NOTE_BOTTOM: []}
    for one in used:
        if one.entry.position in found:
            found[one.entry.position].append(one.text)
    return found


def at_depth(used: Sequence[UsedEntry]) -> list[Insertion]:
    """Return the lorebook entries that go between messages."""
    return [
        Insertion(one.text, one.entry.depth, one.entry.role, one.entry.order)
        for one in used
        if one.entry.position == AT_DEPTH
    ]


def fill_outlets(text: str, given: Mapping[str, str]) -> str:
    """Return a text with {{outlet::name}} replaced. `given`: as `outlets` returns it; others are empty."""
    return _OUTLET.sub(lambda mark: given.get(mark[1].strip().lower(), ""), text)


def outlets(used: Sequence[UsedEntry]) -> dict[str, str]:
    """Return name -> the text of {{outlet::name}} from entries that go there."""
    found: dict[str, list[str]] = {}
    for one in used:
        if one.entry.position == OUTLET and one.entry.outlet:
            found.setdefault(one.entry.outlet.lower(), []).append(one.text)
    return {name: "\n".join(texts) for name, texts in found.items()}


def note_insertion(options: ChatOptions, macros: Macros, top: Sequence[str], bottom: Sequence[str]) -> list[Insertion]:
    """Return the author's note with the lorebook entries above and below it."""
    text = "\n".join(part for part in (*top, macros.expand(options.note.text).strip(), *bottom) if part)
    # After entries at the same depth, which come in the order of their books.
    return [Insertion(text, options.note.depth, options.note.role, 1e9)] if text else []


def _joined(insertions: Sequence[Insertion]) -> list[Message]:
    """Return messages of the texts at one place; neighbours of one role are joined."""
    messages: list[Message] = []
    for one in insertions:
        if messages and messages[-1].role == one.role:
            text = f"{messages[-1].text}\n\n{one.text}"
            messages[-1] = replace(messages[-1], parts=plain(text))
        else:
            messages.append(Message("", None, one.role, plain(one.text), 0.0))
    return messages


def _with_text(message: Message, text: str | None, prefix: str) -> Message:
    """Return a message with another text, and with `prefix` before it."""
    meta = dict(message.meta)
    if "internal" in meta:
        meta["internal"] = prefix + (str(meta["internal"]) if text is None else text)
    if text is not None:
        parts = [part for part in message.parts if part.kind != TEXT] + [Part(TEXT, prefix + text)]
        return replace(message, parts=tuple(parts), meta=meta)
    place = next((n for n, part in enumerate(message.parts) if part.kind == TEXT), None)
    if place is None:
        return replace(message, meta=meta)
    parts = list(message.parts)
    parts[place] = replace(parts[place], text=prefix + parts[place].text.lstrip())
    return replace(message, parts=tuple(parts), meta=meta)
