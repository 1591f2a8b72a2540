"""A queue of messages that were sent while a model loads, or is about to. They are answered when it is ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from modules.chat.messages import ChatOptions
from modules.chat.parts import Part
from modules.chat.service import ChatService
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.generation_queue import AnotherModel
from modules.runtime.model_state import ModelState
from modules.runtime.pending_model import ModelPending
from modules.runtime.supervisor import Supervisor
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)
# Returns the parameters and options for a chat, called when it is answered.
ReplyOptions = Callable[[str], tuple[SamplingParams, ChatOptions]]


class MessageQueue:
    """Sends messages, and queues those for which the model is not ready yet. Thread-safe.

    `load` loads the model that a chat names; blocking. If a load fails, the message stays in its chat, where the user
    can have it answered.
    """

    def __init__(
        self,
        chats: ChatService,
        supervisor: Supervisor,
        options: ReplyOptions,
        load: Callable[[str], None],
    ) -> None:
        self._load = load
        self._chats = chats
        self._supervisor = supervisor
        self._options = options
        self._lock = threading.Lock()
        # Chat id -> the message that waits there.
        self._waiting: dict[str, str] = {}
        supervisor.state_store.subscribe(self._changed)

    def send(self, chat_id: str, text: str, files: Sequence[Part] = ()) -> bool:
        """Send a message with `files`, parts of attachments. Return True if it waits for the model.

        Raises what `ChatService.send` raises.
        """
        changing = self._supervisor.changing
        before = {message.id for message in self._chats.messages(chat_id)}
        try:
            self._chats.send(chat_id, text, *self._options(chat_id), files)
        except PaddockError as error:
            last = self._chats.messages(chat_id)[-1:]
            stored = bool(last) and last[0].role == "user" and last[0].id not in before
            if stored and isinstance(error, ModelPending):
                self._load_then(chat_id, error.model, partial(self._answer_one, chat_id, last[0].id))
                return True
            if not stored or not (changing or self._is_passing(error)):
                raise
            self._wait(chat_id, last[0].id)
            return True
        return False

    def begin(self, chat_id: str, reply: Callable[[], object]) -> object:
        """Begin a reply by `reply()`. Return what it returns, or {"waiting": True} if the chat's model is loaded first.

        Raises what `reply` raises.
        """
        try:
            return reply()
        except ModelPending as error:
            self._load_then(chat_id, error.model, reply)
            return {"waiting": True}

    def _load_then(self, chat_id: str, model: str, reply: Callable[[], object]) -> None:
        """Load the model of a chat on a new thread, and then begin the reply. If that fails, the chat says why."""

        def run() -> None:
            try:
                self._load(model)
                reply()
            except PaddockError as error:
                _LOG.info("A message was not answered: %s", error.message)
                self._chats.add_failure(chat_id, error)

        host_thread("model of a chat", run, f"Loading {model}").start()

    def _is_passing(self, error: PaddockError) -> bool:
        """Return True if the reply could not begin because of a load."""
        return isinstance(error, AnotherModel) or self._supervisor.changing

    def _wait(self, chat_id: str, message_id: str) -> None:
        with self._lock:
            self._waiting[chat_id] = message_id
        # The load may have ended in the time between.
        self._changed(self._supervisor.state)

    def _changed(self, state: ModelState) -> None:
        if self._supervisor.changing:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if waiting and state.phase == "ready":
            host_thread("waiting messages", lambda: self._answer(waiting), "Answering messages that waited").start()

    def _answer(self, waiting: dict[str, str]) -> None:
        for chat_id, message_id in waiting.items():
            try:
                self._answer_one(chat_id, message_id)
            except PaddockError as error:
                if self._is_passing(error):
                    self._wait(chat_id, message_id)
                    continue
                _LOG.warning("A message that waited for the model was not answered: %s", error.message)

    def _answer_one(self, chat_id: str, message_id: str) -> None:
        last = self._chats.messages(chat_id)[-1:]
        # The user may have deleted it or had it answered already.
        if last and last[0].id == message_id:
            self._chats.continue_reply(chat_id, *self._options(chat_id))
