"""Short titles of chats by the model, written while it is idle."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import replace

from modules.chat.messages import ChatOptions, Message, make_title
from modules.chat.parts import file_parts, plain, visible_text
from modules.chat.parts_reader import PartsReader, reply_markers
from modules.chat.prompt import chat_request
from modules.chat.service import ChatService
from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.supervisor import Supervisor
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)
QUESTION = "Write a title for this chat: at most six words, without quotes. Answer with the title alone."
_LONGEST = 60
_MOST_TOKENS = 24
# The model must have been idle for so long. Until then the user may send the next message.
IDLE_SECONDS = 2.0
_PAUSE = 0.1


class TitleWriter:
    """Gives each chat a title by the model after its first reply, where the user wants that. Thread-safe.

    It begins while the page's model is idle, and stops at once as soon as anything else waits for the model; then it
    tries again later. The prompt is the chat's own with one more question, so that what the model keeps of the chat in
    its cache stays of use. Left alone are chats whose prompts begin otherwise (with a character, files, knowledge or
    another model), and titles that a person gave.
    """

    def __init__(
        self,
        chats: ChatService,
        supervisor: Supervisor,
        wanted: Callable[[], bool],
        options: Callable[[str], ChatOptions],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._chats = chats
        self._supervisor = supervisor
        self._wanted = wanted
        self._options = options
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._waiting: dict[str, None] = {}
        self._running = False
        self._generation: Generation | None = None
        self._closed = threading.Event()
        self._unsubscribe = chats.subscribe_ids(self._changed)

    def _changed(self, chat_id: str) -> None:
        """Note a chat whose first reply may have ended."""
        if not chat_id or self._closed.is_set() or chat_id in self._seen or not self._wanted():
            return
        if chat_id in self._chats.answering():
            return
        with self._lock:
            self._waiting[chat_id] = None
            if self._running:
                return
            self._running = True
        host_thread("titles of chats", self._run, "Writing titles of chats").start()

    def _run(self) -> None:
        while True:
            with self._lock:
                chat_id = next(iter(self._waiting), "")
                if not chat_id or self._closed.is_set():
                    self._running = False
                    return
            try:
                ended = self._write(chat_id)
            except PaddockError as error:
                _LOG.info("A chat got no title from the model: %s", error.message)
                ended = True
            if ended:
                with self._lock:
                    self._waiting.pop(chat_id, None)

    def _write(self, chat_id: str) -> bool:
        """Write the title of a chat. Return False to try again, since the model was needed for something else."""
        path = self._chats.messages(chat_id)
        head = self._chats.head(chat_id)
        question = next((message for message in path if message.role == "user"), None)
        answered = path and path[-1].role == "assistant" and not path[-1].meta.get("error")
        if question is None or not answered:
            return True
        if head.own_title != make_title(visible_text(question.parts)) or not self._shares_prompt(chat_id, path):
            self._seen.add(chat_id)
            return True
        if self._closed.wait(self._idle_seconds):
            return True
        if not self._is_idle():
            self._closed.wait(_PAUSE)
            return False
        title = self._ask(chat_id, path)
        if title is None:
            return False
        self._seen.add(chat_id)
        if title and self._chats.head(chat_id).own_title == head.own_title:
            self._chats.rename(chat_id, title)
        return True

    def _shares_prompt(self, chat_id: str, path: list[Message]) -> bool:
        """Return True if the prompt for the title begins as that of the next reply will, so the cache serves both."""
        settings = self._chats.settings.get(chat_id)
        plain_chat = not self._options(chat_id).character and not {"model", "knowledge", "summary"} & set(settings)
        return plain_chat and not any(file_parts(message.parts) for message in path)

    def _is_idle(self) -> bool:
        return self._supervisor.state.phase == "ready" and self._supervisor.queue_lengths() == (0, 0)

    def _ask(self, chat_id: str, path: list[Message]) -> str | None:
        """Return the model's title, "" if it wrote none; None if something else needed the model."""
        options = replace(self._options(chat_id), thinking=False, overflow="cut")
        last = Message("", None, "user", plain(QUESTION), path[-1].created)
        params = SamplingParams(max_new_tokens=_MOST_TOKENS, temperature=0.3)
        info = self._supervisor.state.info
        template = info.template if info else ""
        system = options.system
        variables: dict[str, object] = {"name1": options.name1, "name2": options.name2, "enable_thinking": False}
        chat = chat_request(system, [*path, last], options, params, variables=variables, template=template)
        generation = self._supervisor.generate_chat(chat)
        changed, others = threading.Event(), threading.Event()
        self._generation = generation

        def began(other: Generation) -> None:
            if other is not generation:
                others.set()
                changed.set()

        # Anything else that needs the model stops this one at once.
        unsubscribe = [
            generation.on_change(lambda: changed.set() if generation.done else None),
            self._supervisor.generations.add(began),
        ]
        try:
            if not generation.done and sum(self._supervisor.queue_lengths()) <= 1:
                changed.wait()
            if not generation.done or others.is_set():
                generation.cancel()
                return None
        finally:
            for end in unsubscribe:
                end()
        if generation.error is not None:
            return ""
        reader = PartsReader(reply_markers(options.template or template))
        reader.feed(generation.text)
        return clean_title(visible_text(reader.parts()))

    def close(self) -> None:
        """End the thread at its next step. Safe to call twice."""
        self._closed.set()
        self._unsubscribe()
        if self._generation is not None:
            self._generation.cancel()


def clean_title(text: str) -> str:
    """Return the first line of a model's answer as a title: without quotes, marks of Markdown and a final dot."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = re.sub(r"^\W*title\W*[:：]\s*", "", line.strip(), flags=re.IGNORECASE)
    line = re.sub(r"\s+", " ", line.strip(" \t#*_`\"'“”‘’«»„<>")).rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST + 1].rpartition(' ')[0] or line[:_LONGEST]}…"
