"""Replies from the moment they are asked for until they are stored: one in each chat, any number of chats at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from modules.chat.characters import CharacterError, Characters, fill_in
from modules.chat.database import StorageError
from modules.chat.messages import ChatOptions, Living, Message, NotKept
from modules.chat.prompt import fit
from modules.chat.saver import Reply, Saver
from modules.chat.store import ChatStore
from modules.protocol.sampling import SamplingParams
from modules.runtime.supervisor import Supervisor

# How long a new reply waits for one that was just stopped: the engine needs a token's time, and the saver a write's.
_STOP_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


class Replies:
    """Begins, follows and ends replies. `tell(chat_id)` is called when one begins or ends; `flush_seconds`: how often
    the text that is arriving is stored. Thread-safe."""

    def __init__(
        self,
        store: ChatStore,
        supervisor: Supervisor,
        characters: Characters,
        tell: Callable[[str], None],
        flush_seconds: float,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._characters = characters
        self._tell = tell
        self._lock = threading.Lock()
        self._claims: dict[str, Reply] = {}
        self._unsaved: dict[str, Reply] = {}
        self._saver = Saver(self._save, flush_seconds, retry=5 * flush_seconds)

    @contextlib.contextmanager
    def claim(self, chat_id: str) -> Iterator[Reply]:
        """The right to change the end of this chat: while the block runs, and until a reply begun in it is over.

        Waits for a reply that is ending; raises NotKept while one is being written, or does not end.
        """
        self._store.head(chat_id)
        mine = Reply(chat_id)
        while True:
            with self._lock:
                other = self._claims.setdefault(chat_id, mine)
            if other is mine:
                break
            if not (other.stopping or other.done):
                raise NotKept("A reply is being written in this chat. Stop it, or wait until it ends.")
            if not other.over.wait(_STOP_SECONDS):
                raise NotKept("The reply was stopped, but the engine does not end it. Load the model again.")
        try:
            yield mine
        finally:
            if mine.generation is None:
                self._release(mine)

    def _release(self, reply: Reply) -> None:
        with self._lock:
            if self._claims.get(reply.chat_id) is reply:
                del self._claims[reply.chat_id]
        reply.over.set()

    def begin(
        self,
        reply: Reply,
        parent: str | None,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        prefix: str = "",
    ) -> str:
        """Make the prompt from `path`, start the engine on it and add the reply below `parent`; returns its id.

        `reply` is what `claim` gave; `prefix`: the text of the last message, which goes on. Raises PaddockError, and
        then no reply was added.
        """
        state = self._supervisor.state
        context = state.info.context if state.info else 0
        system, notes = self._system(reply.chat_id, options)
        names = {"name1": options.name1, "name2": options.name2}
        fitted = fit(
            lambda messages: self._supervisor.chat_prompt(messages, options.template, bool(prefix), names),
            system,
            path,
            options,
            context,
            params.max_new_tokens,
        )
        meta: dict[str, Any] = {"model": state.model, "loader": state.loader, "context": context}
        if fitted.left_out:
            meta["left_out"] = fitted.left_out
        if notes or fitted.notes:
            meta["notes"] = [*notes, *fitted.notes]
        params = replace(params, truncate=params.truncate and options.overflow == "cut")
        generation = self._supervisor.generate(fitted.prompt, params)
        try:
            message_id = self._store.add(reply.chat_id, parent, "assistant", prefix, meta, living=True)
        except BaseException:
            generation.cancel()
            raise
        with self._lock:
            reply.message_id, reply.prefix, reply.meta = message_id, prefix, meta
            reply.generation = generation
            stopping = reply.stopping
        self._saver.follow(reply)
        if stopping:
            generation.cancel()
        self._tell(reply.chat_id)
        return message_id

    def _system(self, chat_id: str, options: ChatOptions) -> tuple[str, tuple[str, ...]]:
        """The system message: the character's context, then the user's own; and sentences about it."""
        name = options.character or self._store.head(chat_id).character
        own = options.system
        if not name:
            return fill_in(own, options.name1, options.name2), ()
        try:
            who = self._characters.load(name)
        except CharacterError as error:
            return fill_in(own, options.name1, name), (f"This was written without the character. {error.message}",)
        parts = (part.strip() for part in (who.context, own))
        return fill_in("\n\n".join(part for part in parts if part), options.name1, who.name), ()

    def living(self, chat_id: str) -> Living | None:
        """The reply that is being written, or None."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None or reply.generation is None:
                return None
            return Living(reply.message_id, reply.generation, reply.prefix)

    def stop(self, chat_id: str) -> None:
        """Stop the reply that is being written, if there is one; its text stays."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None:
                return
            reply.stopping = True
            generation = reply.generation
        if generation is not None:
            generation.cancel()

    def in_memory(self, chat_id: str) -> dict[str, Reply]:
        """Message id -> reply, where the store does not have all of the text (yet)."""
        with self._lock:
            replies = [*self._unsaved.values(), *self._claims.values()]
        return {reply.message_id: reply for reply in replies if reply.chat_id == chat_id and reply.message_id}

    def overlay(self, chat_id: str, messages: Sequence[Message]) -> list[Message]:
        """These messages, those that are being written with their text so far."""
        in_memory = self.in_memory(chat_id)
        return [
            replace(message, text=reply.text, meta=reply.figures()) if (reply := in_memory.get(message.id)) else message
            for message in messages
        ]

    def close(self) -> None:
        """Stop every reply and store what arrived. Safe to call twice."""
        with self._lock:
            replies = list(self._claims.values())
        for reply in replies:
            self.stop(reply.chat_id)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for reply in replies:
            reply.over.wait(max(0.0, deadline - time.monotonic()))
        self._saver.close()

    def _save(self, reply: Reply, last: bool) -> bool:
        """The saver's call: store the reply. False where that failed: its text then stays in memory, and is shown."""
        done, earlier, reply.problem = reply.done, reply.problem, ""
        meta = reply.figures()
        if last and not done:
            meta["cut_off"] = True
        try:
            self._store.write(reply.message_id, reply.text, meta, living=not last)
        except StorageError as error:
            reply.problem = error.message
        with self._lock:
            if reply.problem:
                self._unsaved[reply.message_id] = reply
            else:
                self._unsaved.pop(reply.message_id, None)
        ended = last and not reply.over.is_set()
        if ended:
            self._release(reply)
        if ended or reply.problem != earlier:
            self._tell(reply.chat_id)
        return not reply.problem
