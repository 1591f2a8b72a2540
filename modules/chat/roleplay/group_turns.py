"""Begin replies in a group chat: choose who speaks, and let the next one speak when a reply has ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modules.chat.characters import Characters
from modules.chat.messages import ChatOptions, Message, NotSaved
from modules.chat.replies import Replies
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest
from modules.chat.roleplay.card_fields import CardFields
from modules.chat.roleplay.group_settings import ROUND, Group
from modules.chat.roleplay.speakers import SPEAKER, next_speakers
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    """Those who speak next, after the reply with this id."""

    reply: str
    speakers: tuple[str, ...]
    params: SamplingParams
    options: ChatOptions


class GroupTurns:
    """Begins replies, with a speaker in a group chat. Thread-safe."""

    def __init__(self, store: ChatStore, replies: Replies, characters: Characters) -> None:
        self._store, self._replies, self._characters = store, replies, characters
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}

    def begin(self, reply: Reply, request: ReplyRequest, *, asked: bool = False) -> str:
        """Begin a reply and return its id. In a group where no one speaks now, return the id of the last message.

        `asked`: the user wants a reply now, so somebody speaks.
        """
        group = request.options.group
        if group is None:
            return self._replies.begin(reply, request)
        speakers = self._speakers(reply.chat_id, group, request)
        if not speakers and asked:
            speakers = self._speakers(reply.chat_id, replace(group, order=ROUND, muted=()), request)
        if not speakers:
            return request.parent or ""
        options = replace(request.options, character=speakers[0])
        message = self._replies.begin(reply, replace(request, options=options))
        with self._lock:
            self._waiting.pop(reply.chat_id, None)
            if speakers[1:]:
                self._waiting[reply.chat_id] = _Waiting(message, tuple(speakers[1:]), request.params, request.options)
        # The reply may have ended already.
        self.changed(reply.chat_id)
        return message

    def speak(self, chat_id: str, speaker: str, params: SamplingParams, options: ChatOptions) -> str:
        """Let this character write the next message. Return its id. Raises CharacterError, NotSaved or PaddockError."""
        self._characters.load(speaker)
        with self._replies.claim(chat_id) as reply:
            path = self._replies.overlay(chat_id, self._store.path(chat_id))
            parent = path[-1].id if path else None
            return self._replies.begin(reply, ReplyRequest(parent, path, params, replace(options, character=speaker)))

    def stop(self, chat_id: str) -> None:
        """Let no one speak after the reply that is being written."""
        with self._lock:
            self._waiting.pop(chat_id, None)

    def changed(self, chat_id: str) -> None:
        """Let the next one speak if the reply before has ended; called whenever the chat changes."""
        if self._replies.live_reply(chat_id) is not None:
            return
        with self._lock:
            waiting = self._waiting.pop(chat_id, None)
        if waiting is None:
            return
        last = self._store.path(chat_id)[-1:]
        if last and last[0].id == waiting.reply and _went_well(last[0]):
            host_thread("group chat", lambda: self._next(chat_id, waiting), "Letting the next character speak").start()

    def _next(self, chat_id: str, waiting: _Waiting) -> None:
        speaker, *others = waiting.speakers
        try:
            message = self.speak(chat_id, speaker, waiting.params, waiting.options)
        except NotSaved:
            return  # Another reply has begun.
        except PaddockError as error:
            _LOG.warning("%s could not speak: %s", speaker, error.message)
            return
        if others:
            with self._lock:
                self._waiting[chat_id] = replace(waiting, reply=message, speakers=tuple(others))
            self.changed(chat_id)

    def _speakers(self, chat_id: str, group: Group, request: ReplyRequest) -> list[str]:
        before = request.previous.meta.get(SPEAKER) if request.previous is not None else None
        if isinstance(before, str) and before in group.members:
            return [before]
        cards = self._cards(group)
        path: Sequence[Message] = request.path
        return next_speakers(group, path, cards, f"{chat_id}/{path[-1].id if path else ''}/{len(path)}")

    def _cards(self, group: Group) -> dict[str, CardFields]:
        found: dict[str, CardFields] = {}
        for name in group.members:
            try:
                who = self._characters.load(name)
            except PaddockError:
                continue
            found[name] = replace(who.card, name=who.name)
        return found


def _went_well(message: Message) -> bool:
    return not (message.meta.get("stopped") or message.meta.get("error") or message.meta.get("reason") == "error")
