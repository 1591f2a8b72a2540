"""The events for a page that shows a chat: settled messages once, the living one as it grows, and the model's state.

Each page has one stream. `messages` says how the list changed since the event before: how many of the first messages to
keep, which of those to replace, and which to add after them. `living` says how the reply that is being written grew,
`chats` and `folders` are the lists beside it, `answering` the ids of chats that are being answered, `state` the
model's state. A page that reconnects gets the whole list again, with the reply as it is then. The cost of a token does
not depend on the number of messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules.chat.messages import LiveReply, Message
from modules.chat.parts import Part
from modules.chat.summarizer import left_out_of
from modules.protocol.errors import PaddockError
from modules.ui import number_format as words
from modules.ui.json_errors import error_json
from modules.ui.markdown import Markdown
from modules.ui.message_parts import LivingParts, settled_parts
from modules.ui.model_status import describe_state
from modules.ui.order.chat_list import listed_chats, listed_folders
from modules.ui.sse import CurrentGeneration, StreamEnd, Subscribe, event_stream, sse_event

if TYPE_CHECKING:
    from modules.app import App


def card(message: Message, markdown: Markdown) -> dict[str, object]:
    """Return a settled message as the page draws it. Every text but `html` is plain, and the page escapes it."""
    meta = message.meta
    shown: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "parts": settled_parts(message.parts, markdown),
        "version": message.version,
        "versions": message.versions,
        **_scene(message),
    }
    if message.role == "assistant":
        shown |= {
            "statistics": words.statistics(meta),
            "finish_reason": words.finish_reason(meta),
            "origin": words.origin(meta),
            "rating": meta.get("rating", 0),
        }
    notes = [*meta.get("notes", ())]
    if meta.get("left_out") and meta.get("cut_moved", True):
        shown["cut"] = words.left_out(int(meta["left_out"]))
    if cut := int(meta.get("cut_tokens") or 0):
        notes.append(f"The prompt did not fit into the context and leaves out {words.plural(cut, 'oldest token')}.")
    if meta.get("cut_off"):
        notes.append("Paddock ended while this reply was being written. Press Continue this reply for the rest.")
    if meta.get("unsaved"):
        notes.append(str(meta["unsaved"]))
    shown["notes"] = notes
    if meta.get("receipt"):
        shown["receipt"] = list(meta["receipt"])
    if meta.get("passages"):
        shown["passages"] = list(meta["passages"])
    if meta.get("error"):
        shown["error"] = {
            "error": str(meta["error"]),
            "detail": str(meta.get("detail") or ""),
            "code": str(meta.get("code") or ""),
            "lower": list(meta.get("lower") or ()),
        }
    return shown


def _scene(message: Message) -> dict[str, Any]:
    """Return who speaks, and the entries of lorebooks in the prompt. All of it is plain text."""
    meta = message.meta
    shown: dict[str, Any] = {}
    if message.role == "assistant" and (speaker := meta.get("speaker")):
        shown["speaker"] = str(speaker)
    if message.role == "system":
        shown["narrator"] = True
    lore = meta.get("lore")
    if isinstance(lore, list):
        names = ("book", "entry", "why")
        shown["lore"] = [{name: str(one.get(name, "")) for name in names} for one in lore if isinstance(one, dict)]
    return shown


@dataclass(frozen=True)
class Growth:
    """What the living reply grew by since the event before."""

    view: LivingParts
    parts: tuple[Part, ...]
    tokens: int

    def is_quick(self) -> bool:
        """Return True if `render` takes less than a millisecond."""
        return self.view.is_quick(self.parts)

    def render(self) -> dict[str, Any]:
        """Return the value of the event `living`."""
        return {"parts": self.view.update(self.parts), "tokens": self.tokens}


class Follower:
    """Knows what one page was sent of one chat, and finds what to send next."""

    def __init__(self, app: App, markdown: Markdown, chat_id: str) -> None:
        self._app = app
        self._markdown = markdown
        self._chat_id = chat_id
        self._sent: list[tuple[str, object]] = []
        self._title: str | None = None
        self._cut: dict[str, object] | None = None
        self._listed: dict[str, list[Any]] = {}
        self.living: LiveReply | None = None
        self._living_view: LivingParts | None = None
        self._shown = (-1, -1)

    def messages(self) -> dict[str, Any] | None:
        """Return how the list changed: {"title", "keep": n, "set": [card], "add": [card], "living", "cut"}, or None.

        `living` is the id of the reply that is being written, even if another branch than its own is shown. `cut`: see
        `_cut`.
        """
        messages, living = self._read()
        title = self._app.chats.head(self._chat_id).title
        now = [(m.id, self._stamp(m, living)) for m in messages]
        keep = 0
        while keep < min(len(now), len(self._sent)) and now[keep][0] == self._sent[keep][0]:
            keep += 1
        changed = [i for i in range(keep) if now[i][1] != self._sent[i][1]]
        writing, wrote = living and living.message_id, self.living and self.living.message_id
        cut = _cut(self._app, self._chat_id, messages)
        same = not changed and keep == len(now) == len(self._sent) and (title, cut) == (self._title, self._cut)
        if same and writing == wrote:
            return None
        index = next((i for i, message in enumerate(messages) if message.id == writing), None)
        if index is None:
            self._living_view = None
        elif index >= keep or index in changed:
            # The page draws this reply again, without any text.
            self._living_view, self._shown = LivingParts(self._markdown, living.calls() if living else {}), (-1, -1)
        self._sent, self._title, self._cut, self.living = now, title, cut, living
        return {
            "title": title,
            "keep": keep,
            "set": [self._card(messages[i], living) for i in changed],
            "add": [self._card(message, living) for message in messages[keep:]],
            "living": writing,
            "cut": cut,
        }

    def _read(self) -> tuple[list[Message], LiveReply | None]:
        """Return the messages, and the one that is being written, both from the same moment.

        Otherwise a reply that has just begun, or is about to end, would look settled.
        """
        chats = self._app.chats
        living = chats.live_reply(self._chat_id)
        while True:
            messages, before, living = chats.messages(self._chat_id), living, chats.live_reply(self._chat_id)
            if _moment(before) == _moment(living):
                return messages, living

    def lists(self) -> dict[str, list[Any]]:
        """Return what changed since the last call of the lists beside the chat: chats, folders, answering (ids).

        Of the chats, their times do not count.
        """
        shown: dict[str, list[Any]] = {
            "chats": listed_chats(self._app),
            "folders": listed_folders(self._app),
            "answering": sorted(self._app.chats.answering()),
        }
        order = sorted(({**chat, "updated": 0} for chat in shown["chats"]), key=lambda chat: str(chat["id"]))
        now = {**shown, "chats": order}
        before, self._listed = self._listed, now
        return {name: value for name, value in shown.items() if now[name] != before.get(name)}

    def growth(self) -> Growth | None:
        """Return what the living reply grew by since the last call, or None."""
        if not self.living or not self._living_view:
            return None
        generation = self.living.generation
        if (generation.tokens, generation.length) == self._shown:
            return None
        self._shown = (generation.tokens, generation.length)
        return Growth(self._living_view, self.living.parts(), generation.tokens)

    @staticmethod
    def _stamp(message: Message, living: LiveReply | None) -> object:
        if living and message.id == living.message_id:
            return "living", living.generation.id, living.changes, message.version, message.versions
        # Compares the message's own parts and meta, without a copy.
        return message.parts, message.version, message.versions, message.meta

    def _card(self, message: Message, living: LiveReply | None) -> dict[str, object]:
        if living and message.id == living.message_id:
            facts = {"id": message.id, "role": message.role, "version": message.version, "versions": message.versions}
            return {**facts, **_scene(message)}
        return card(message, self._markdown)


def _cut(app: App, chat_id: str, messages: Sequence[Message]) -> dict[str, object] | None:
    """Return what prompts of the chat leave out, or None if they have all messages.

    {"before": the id of the first message that they have, "note": a sentence, "summary": the text that stands for the
    others, or "", "runs": whether one is being made, "problem": a sentence, or ""}.
    """
    summarizer = app.chats.summarizer
    summary = summarizer.summaries.find(chat_id, messages)
    place = max(left_out_of(messages), summary.upto if summary else 0)
    if not place:
        return None
    return {
        "before": messages[place].id,
        "note": words.left_out(place),
        "summary": summary.text if summary else "",
        "runs": summarizer.runs(chat_id),
        "problem": summarizer.problems.get(chat_id, ""),
    }


def _moment(living: LiveReply | None) -> tuple[int, int] | None:
    return (id(living.generation), living.changes) if living else None


def follow_chat(app: App, markdown: Markdown, chat_id: str) -> AsyncIterator[bytes]:
    """Return the events of one page that shows this chat, until the page goes away or the chat does."""
    follower = Follower(app, markdown, chat_id)
    current = CurrentGeneration()

    async def events(names: set[str]) -> AsyncIterator[bytes]:
        if "state" in names:
            yield sse_event(describe_state(app), "state")
        if "messages" in names:
            try:
                changes = await asyncio.to_thread(follower.messages)
            except PaddockError as error:
                yield sse_event(error_json(error), "gone")
                raise StreamEnd from None
            if changes:
                yield sse_event(changes, "messages")
            current.switch(follower.living.generation if follower.living else None)
        if "chats" in names:
            for name, value in (await asyncio.to_thread(follower.lists)).items():
                yield sse_event(value, name)
        if growth := follower.growth():
            # A long block takes a while to render, and code to colour: not on the event loop then.
            if growth.is_quick():
                yield sse_event(growth.render(), "living")
            else:
                yield sse_event(await asyncio.to_thread(growth.render), "living")

    sources: dict[str, Subscribe] = {
        "messages": lambda callback: app.chats.subscribe(chat_id, callback),
        "chats": lambda callback: app.chats.subscribe("", callback),
        "state": app.supervisor.state_store.subscribe,
        "living": current.subscribe,
    }
    return event_stream(sources, events)
