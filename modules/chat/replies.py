"""Replies from the moment they are asked for until they are stored: one in each chat, any number of chats at once."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from modules.chat.characters import Characters
from modules.chat.database import StorageError
from modules.chat.messages import ChatOptions, Living, Message, NotKept, internal
from modules.chat.prompt import FittedPrompt, Render, fit
from modules.chat.saver import Reply, Saver
from modules.chat.store import ChatStore
from modules.chat.turn import Opening, Turn, opening_of
from modules.generation.generation import Generation
from modules.plugins.manager import ExtensionManager
from modules.protocol.sampling import SamplingParams
from modules.runtime.state import ChatPromptResult
from modules.runtime.supervisor import Supervisor

_LOG = logging.getLogger(__name__)
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
        extensions: ExtensionManager | None = None,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._characters = characters
        self._tell = tell
        self._extensions = extensions
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
                raise NotKept(
                    "The reply was stopped, but the engine has not ended it yet. Wait a few seconds, then try again."
                )
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
        turn: Turn | None = None,
    ) -> str:
        """Make the prompt from `path`, start the engine on it and add the reply below `parent`; returns its id.

        `reply` is what `claim` gave; `prefix`: the text of the last message, which goes on; `turn`: where extensions
        have had a say already. Raises PaddockError, and then no reply was added.
        """
        state = self._supervisor.state
        context = state.info.context if state.info else 0
        opening, notes = self._opening(reply.chat_id, options)
        turn = turn or self._turn_of(reply.chat_id, path, params, options, opening)
        asked = next((internal(message) for message in reversed(path) if message.role == "user"), "")
        whole = turn.prompt(asked, path, bool(prefix)) if turn else None
        if turn:
            path, params, options, opening = turn.path(path), turn.params, turn.options, turn.opening
        if whole is not None:
            fitted = FittedPrompt(whole)
        else:
            fitted = fit(
                self._render(options, bool(prefix), turn),
                opening.system,
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
        if turn is None:
            generation = self._supervisor.generate(fitted.prompt, params)
        else:
            generation, prefix = self._with_extensions(turn, reply, fitted.prompt, asked, params, path, prefix, meta)
        try:
            # Within the lock: whoever sees the message hears from `living` that it is being written.
            with self._lock:
                message_id = self._store.add(reply.chat_id, parent, "assistant", prefix, meta, living=True)
                reply.message_id, reply.prefix, reply.meta = message_id, prefix, meta
                reply.generation = generation
                stopping = reply.stopping
        except BaseException:
            generation.cancel()
            raise
        self._saver.follow(reply)
        if stopping:
            generation.cancel()
        self._tell(reply.chat_id)
        return message_id

    def turn(self, chat_id: str, path: Sequence[Message], params: SamplingParams, options: ChatOptions) -> Turn | None:
        """A turn that begins after `path`, where extensions are on; None costs nothing."""
        if self._extensions is None or not self._extensions.active:
            return None
        opening, _ = self._opening(chat_id, options)
        return Turn(self._extensions, chat_id, path, params, options, opening, self._supervisor.state)

    def _turn_of(
        self, chat_id: str, path: Sequence[Message], params: SamplingParams, options: ChatOptions, opening: Opening
    ) -> Turn | None:
        """The turn that the last question of `path` began."""
        if self._extensions is None or not self._extensions.active:
            return None
        last = max((place for place, message in enumerate(path) if message.role == "user"), default=len(path))
        return Turn(self._extensions, chat_id, path[:last], params, options, opening, self._supervisor.state)

    def _render(self, options: ChatOptions, is_continue: bool, turn: Turn | None) -> Render:
        names: dict[str, Any] = {"name1": options.name1, "name2": options.name2}
        if turn and (tools := turn.tools()):
            names["tools"] = tools

        def render(messages: list[dict[str, Any]]) -> ChatPromptResult:
            result = self._supervisor.chat_prompt(messages, options.template, is_continue, names)
            length = turn.pipeline.length(result.prompt) if turn else None
            return result if length is None else replace(result, tokens=length)

        return render

    def _with_extensions(
        self,
        turn: Turn,
        reply: Reply,
        prompt: str,
        asked: str,
        params: SamplingParams,
        path: Sequence[Message],
        prefix: str,
        meta: dict[str, Any],
    ) -> tuple[Generation, str]:
        """(the reply's generation, what its text begins with); what happens at its end is left with `reply`."""
        if prefix:
            before = internal(path[-1])
        else:
            before = prefix = turn.pipeline.bot_prefix(turn.state)
            prompt += prefix
        generation = turn.generate(self._supervisor, prompt, asked, params)
        told = turn.meta()
        meta["notes"] = [*meta.get("notes", ()), *told.get("notes", ())]
        meta.update({key: value for key, value in told.items() if key != "notes"})
        if not meta["notes"]:
            del meta["notes"]
        noted = list(meta.get("notes", ()))

        def after(ended: Reply) -> None:
            written = before + (generation.text if generation.revised is None else generation.revised)
            final = turn.finish(written)
            told = turn.meta()
            if notes := list(dict.fromkeys([*noted, *told.pop("notes", ())])):
                told["notes"] = notes
            if final != written:
                told["internal"] = written
            ended.meta = {**ended.meta, **told}
            ended.final = final if final != prefix + generation.text else None

        reply.after = after
        return generation, prefix

    def _opening(self, chat_id: str, options: ChatOptions) -> tuple[Opening, tuple[str, ...]]:
        """What comes before the first message, and sentences about it."""
        return opening_of(self._characters, options.character or self._store.head(chat_id).character, options)

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
        except Exception as error:
            _LOG.exception("Storing a reply failed.")
            reply.problem = (
                f"The reply could not be stored ({type(error).__name__}: {error}). Copy it before you leave."
            )
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
