"""Replies from their start until they are stored: one in each chat, in any number of chats at once."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from modules.chat.attached_files import AttachedFiles
from modules.chat.characters import Characters
from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.messages import ChatOptions, LiveReply, Message, NotSaved
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest, StartedReply
from modules.chat.reply_saver import ReplySaver
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.start_reply import ReplyStarter
from modules.chat.store import ChatStore
from modules.chat.summaries import ChatSummaries
from modules.chat.summarizer import Summarizer
from modules.chat.tool_loop import ToolLoop
from modules.chat.turn_hooks import TurnHooks
from modules.plugins.failures import MessageFailed
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.toolbox import Toolbox
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel

_LOG = logging.getLogger(__name__)
# How long a new reply waits for one that was just stopped: the engine ends its token, and the saver writes it.
_STOP_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


def _make_starter(
    store: ChatStore,
    characters: Characters,
    extensions: ExtensionManager | None,
    files: AttachedFiles,
    summaries: ChatSummaries,
    knowledge: Knowledge | None,
    lorebooks: Lorebooks | None,
    model: LoadedModel,
) -> ReplyStarter:
    """Return what starts replies on another model than the page's."""
    return ReplyStarter(store, model, characters, extensions, files.of(model), summaries, knowledge, lorebooks)


class Replies:
    """Starts, follows and ends replies. Thread-safe.

    `notify(chat_id)` is called when one starts or ends; `flush_seconds`: how often arriving text is stored.
    `model_of(chat_id)` returns the model that answers a chat, which is `model` unless the chat names another one.
    """

    def __init__(
        self,
        store: ChatStore,
        model: LoadedModel,
        characters: Characters,
        notify: Callable[[str], None],
        flush_seconds: float,
        extensions: ExtensionManager | None,
        files: AttachedFiles,
        toolbox: Toolbox | None = None,
        model_of: Callable[[str], LoadedModel] | None = None,
        knowledge: Knowledge | None = None,
        lorebooks: Lorebooks | None = None,
    ) -> None:
        self._store = store
        self._notify = notify
        summaries = ChatSummaries(ChatSettings(store.database), notify)
        self._starter = ReplyStarter(store, model, characters, extensions, files, summaries, knowledge, lorebooks)
        self._model = model
        self._model_of = model_of or (lambda chat_id: model)
        self.summarizer = Summarizer(self._model_of, summaries)
        self._starter_with = partial(
            _make_starter, store, characters, extensions, files, summaries, knowledge, lorebooks
        )
        self._lock = threading.Lock()
        self._claims: dict[str, Reply] = {}
        self._unsaved: dict[str, Reply] = {}
        self._saver = ReplySaver(self._save, flush_seconds, retry=5 * flush_seconds)
        self._loop = ToolLoop(self._start, toolbox, self._changed)

    @contextlib.contextmanager
    def claim(self, chat_id: str) -> Iterator[Reply]:
        """Reserve the end of this chat: while the block runs, and until a reply that was started in it has ended.

        Waits for a reply that is ending. Raises NotSaved while one is being written, or if one does not end.
        """
        self._store.head(chat_id)
        reply = Reply(chat_id)
        while True:
            with self._lock:
                other = self._claims.setdefault(chat_id, reply)
            if other is reply:
                break
            if not (other.stopping or other.done):
                raise NotSaved("A reply is being written in this chat. Stop it, or wait until it ends.")
            if not other.over.wait(_STOP_SECONDS):
                raise NotSaved(
                    "The reply was stopped, but the engine has not ended it yet. Wait a few seconds, then try again."
                )
        try:
            yield reply
        finally:
            if reply.generation is None:
                self._release(reply)

    def _starter_of(self, chat_id: str) -> ReplyStarter:
        model = self._model_of(chat_id)
        return self._starter if model is self._model else self._starter_with(model)

    def _start(self, chat_id: str, request: ReplyRequest) -> StartedReply:
        return self._starter_of(chat_id).start(chat_id, request)

    def _release(self, reply: Reply) -> None:
        with self._lock:
            if self._claims.get(reply.chat_id) is reply:
                del self._claims[reply.chat_id]
        reply.over.set()

    def begin(self, reply: Reply, request: ReplyRequest) -> str:
        """Start the reply that `claim` returned and add it to the chat. Return its message's id.

        Raises PaddockError, and then no reply was added.
        """
        request, problems = self._loop.with_tools(reply, request)
        if request.options.overflow == "summarize":
            reply.on_over = lambda: self._summarize(reply, request)
        started = self._start(reply.chat_id, request)
        if problems:
            started.meta["notes"] = [*started.meta.get("notes", ()), *problems]
        generation = started.generation
        try:
            # Under the lock: a reader that sees the message also learns from `live_reply` that it is being written.
            with self._lock:
                parts = (*reply.earlier, *started.reader.parts())
                message_id = self._store.add(
                    reply.chat_id, request.parent, "assistant", parts, started.meta, living=True
                )
                reply.message_id, reply.reader, reply.meta = message_id, started.reader, started.meta
                reply.on_end = self._loop.at_end(request, started)
                reply.generation = generation
                stopping = reply.stopping
        except BaseException:
            generation.cancel()
            raise
        self._saver.follow(reply)
        if stopping:
            generation.cancel()
        self._notify(reply.chat_id)
        return message_id

    def draft(self, chat_id: str, request: ReplyRequest) -> StartedReply:
        """Start a reply that is not added to the chat. Raises PaddockError."""
        return self._start(chat_id, request)

    @property
    def has_hooks(self) -> bool:
        """Return True if extensions take part in replies now."""
        return self._starter.has_hooks

    def turn(
        self, chat_id: str, path: Sequence[Message], params: SamplingParams, options: ChatOptions
    ) -> TurnHooks | None:
        """Return the hooks of a turn that begins after `path`, or None without extensions. Raises MessageFailed."""
        return self._starter_of(chat_id).turn(chat_id, path, params, options)

    def run_hooks(
        self, chat_id: str, path: list[Message], text: str, params: SamplingParams, options: ChatOptions
    ) -> tuple[TurnHooks | None, str, dict[str, object], MessageFailed | None]:
        """Run the hooks on a message after `path`. Return (the turn, the text to show, its meta, the error)."""
        turn = None
        try:
            turn = self.turn(chat_id, path, params, options)
            return (turn, *(turn.user_message(text) if turn else (text, {})), None)
        except MessageFailed as error:
            return turn, text, {"raw": True}, error

    def live_reply(self, chat_id: str) -> LiveReply | None:
        """Return the reply that is being written, or None."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None or reply.generation is None:
                return None
            return LiveReply(reply.message_id, reply.generation, lambda: reply.parts, reply.changes, reply.asked)

    def answering(self) -> set[str]:
        """Return the ids of the chats in which a reply is being written."""
        with self._lock:
            return {chat_id for chat_id, reply in self._claims.items() if reply.generation is not None}

    def _summarize(self, reply: Reply, request: ReplyRequest) -> None:
        """Let the model summarize what the next prompt of the chat will leave out."""

        def left_out() -> list[Message]:
            path = self._store.path(reply.chat_id)
            ended = bool(path) and path[-1].id == reply.message_id
            return self._starter_of(reply.chat_id).left_out_next(reply.chat_id, request, path) if ended else []

        self.summarizer.request(reply.chat_id, left_out)

    def stop(self, chat_id: str) -> None:
        """Stop the reply that is being written, if there is one. Its text is kept."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None:
                return
            reply.stopped.set()
            generation = reply.generation
        if generation is not None:
            generation.cancel()

    def answer_call(self, chat_id: str, call_id: str, answer: str) -> None:
        """Let the user's answer apply to a call that asks. Raises PaddockError."""
        with self._lock:
            reply = self._claims.get(chat_id)
        if reply is None or reply.calls is None:
            raise PaddockError("This call does not wait for an answer any more.")
        reply.calls.answer(call_id, answer)

    def _changed(self, reply: Reply) -> None:
        """Store a reply and show it on the page: a tool of it asks, runs or has ended."""
        reply.changes += 1
        self._saver.store_soon(reply)
        self._notify(reply.chat_id)

    def in_memory(self, chat_id: str) -> dict[str, Reply]:
        """Return the replies whose text is not yet all in the store, by message id."""
        with self._lock:
            replies = [*self._unsaved.values(), *self._claims.values()]
        return {reply.message_id: reply for reply in replies if reply.chat_id == chat_id and reply.message_id}

    def overlay(self, chat_id: str, messages: Sequence[Message]) -> list[Message]:
        """Return these messages; one that is being written has its text so far."""
        in_memory = self.in_memory(chat_id)
        return [
            replace(message, parts=reply.parts, meta=reply.current_meta())
            if (reply := in_memory.get(message.id))
            else message
            for message in messages
        ]

    def close(self) -> None:
        """Stop every reply and store what arrived. Safe to call twice."""
        self.summarizer.close()
        with self._lock:
            replies = list(self._claims.values())
        for reply in replies:
            self.stop(reply.chat_id)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for reply in replies:
            reply.over.wait(max(0.0, deadline - time.monotonic()))
        self._saver.close()

    def _save(self, reply: Reply, last: bool) -> bool:
        """Store the reply, called by the saver. Return False if that failed; its text then stays in memory."""
        done, earlier, reply.problem = reply.done, reply.problem, ""
        meta = reply.current_meta()
        if last and not done:
            meta["cut_off"] = True
        try:
            self._store.write(reply.message_id, reply.parts, meta, living=not last)
        except StorageError as error:
            reply.problem = error.message
        except Exception as error:
            _LOG.exception("Storing a reply failed.")
            reply.problem = (
                f"The reply could not be stored ({type(error).__name__}: {error}). Copy it before you close the page."
            )
        with self._lock:
            if reply.problem:
                self._unsaved[reply.message_id] = reply
            else:
                self._unsaved.pop(reply.message_id, None)
        ended = last and not reply.over.is_set()
        if ended:
            if done and not reply.problem and reply.on_over is not None:
                reply.on_over()
            self._release(reply)
        if ended or reply.problem != earlier:
            self._notify(reply.chat_id)
        return not reply.problem
