"""Lets the model summarize the messages of a chat that do not fit into its context any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from modules.chat.messages import Message
from modules.chat.parts import visible_text
from modules.chat.parts_reader import split_stored
from modules.chat.summaries import ChatSummaries, Summary
from modules.families.reasoning import THINKING_SWITCHES
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)
# The longest summary, in tokens, and the largest part of the context that it may take.
_LONGEST, _SHARE = 400, 8
# What the instruction and the template take, and the least that is read at once.
_AROUND, _LEAST = 200, 200
_SECONDS = 600.0
_ASK = (
    "Summarize the conversation below for someone who continues it: who said what, facts, names, numbers, decisions "
    "and open questions. Write at most {words} words, without an introduction."
)
_EARLIER = "A summary of what came before it:\n{summary}\n\n"
_NAMES = {"user": "User", "assistant": "Reply", "system": "System"}


def left_out_of(path: Sequence[Message]) -> int:
    """Return how many of these messages the prompt of their latest reply left out."""
    meta = next((message.meta for message in reversed(path) if message.role == "assistant"), {})
    place = int(meta.get("left_out") or 0)
    return place if place < len(path) else 0


class Summarizer:
    """Makes one summary after the other, each on its thread. Later requests for a chat that waits are dropped.

    `model_of(chat_id)` returns the model that answers a chat.
    """

    def __init__(self, model_of: Callable[[str], LoadedModel], summaries: ChatSummaries) -> None:
        self._model_of, self.summaries = model_of, summaries
        self._turn = threading.Lock()
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # Chat -> why its last summary failed.
        self.problems: dict[str, str] = {}

    def request(self, chat_id: str, find: Callable[[], Sequence[Message]]) -> None:
        """Summarize in the background what `find` returns: the messages from the beginning of the chat."""
        with self._lock:
            if chat_id in self._waiting or self._closed.is_set():
                return
            self._waiting.add(chat_id)
        self.summaries.notify(chat_id)
        host_thread("summarizer", lambda: self._run(chat_id, find), "Summarizing a chat").start()

    def request_for(self, chat_id: str, path: Sequence[Message]) -> None:
        """Summarize in the background what the latest prompt of this path left out. Raises PaddockError."""
        place = left_out_of(path)
        if not place:
            raise PaddockError("No message of this chat is left out of the prompt, so there is nothing to summarize.")
        self._model_of(chat_id).loaded()
        self.request(chat_id, lambda: path[:place])

    def edit(self, chat_id: str, path: Sequence[Message], text: str) -> None:
        """Set the summary of what the prompt of this path leaves out. "" removes it, and the messages come back."""
        found = self.summaries.find(chat_id, path)
        place = found.upto if found else left_out_of(path)
        if not place:
            raise PaddockError("No message of this chat is left out of the prompt any more. Reload the page.")
        self.summaries.put(chat_id, path[:place], text, edited=True)

    def runs(self, chat_id: str) -> bool:
        """Return True while a summary of this chat is made, or waits for that."""
        return chat_id in self._waiting

    def _run(self, chat_id: str, find: Callable[[], Sequence[Message]]) -> None:
        try:
            with self._turn:
                path = [] if self._closed.is_set() else find()
                if path:
                    text = summarize(self._model_of(chat_id), path, self.summaries.find(chat_id, path))
                    self.summaries.put(chat_id, path, text)
            self.problems.pop(chat_id, None)
        except PaddockError as error:
            self.problems[chat_id] = error.message
        except Exception:
            # Once the chats are closed, nothing can be stored.
            if not self._closed.is_set():
                _LOG.exception("A summary failed.")
        finally:
            with self._lock:
                self._waiting.discard(chat_id)
            self.summaries.notify(chat_id)

    def close(self) -> None:
        """Make no more summaries. The one that is being made ends with the model."""
        self._closed.set()


def summarize(model: LoadedModel, path: Sequence[Message], earlier: Summary | None = None) -> str:
    """Return a summary of these messages, made from the earlier one where there is one. Raises PaddockError.

    A text that is longer than the context is read in parts, each with the summary of the parts before.
    """
    context = model.loaded().context or 4096
    longest = max(32, min(_LONGEST, context // _SHARE))
    room = max(_LEAST, context - 2 * longest - _AROUND)
    summary = earlier.text if earlier else ""
    parts = _parts(model, path[earlier.upto if earlier else 0 :], room)
    for part in parts:
        summary = _answer(model, part, summary, longest)
    if not summary:
        raise PaddockError("The model wrote no summary of the older messages. Write one yourself, or try again.")
    return summary


def _parts(model: LoadedModel, messages: Sequence[Message], room: int) -> list[str]:
    """Return the messages as texts of at most `room` tokens each. A longer message keeps its beginning and end."""
    parts: list[str] = []
    left = 0
    for message in messages:
        text = f"{_NAMES.get(message.role, message.role)}: {visible_text(message.parts).strip()}"
        tokens = len(model.tokenize(text))
        if tokens > room:
            half = len(text) * room // tokens * 2 // 5
            text, tokens = f"{text[:half]} […] {text[-half:]}", room
        if tokens > left:
            parts.append(text)
            left = room - tokens
        else:
            parts[-1] += f"\n\n{text}"
            left -= tokens
    return parts


def _answer(model: LoadedModel, text: str, earlier: str, longest: int) -> str:
    ask = _ASK.format(words=longest * 3 // 5)
    before = _EARLIER.format(summary=earlier) if earlier else ""
    message = {"role": "user", "content": f"{ask}\n\n{before}The conversation:\n\n{text}"}
    generation = model.generate_chat(
        Generate(
            "",
            params=SamplingParams(max_new_tokens=longest, temperature=0.3),
            hooks=False,
            messages=[message],
            variables=dict.fromkeys(THINKING_SWITCHES, False),
            thinking_budget=1,
        )
    )
    if not generation.wait(_SECONDS):
        generation.cancel()
        raise PaddockError("The summary of the older messages took too long, so it was stopped.")
    if generation.finished is not None and generation.finished.reason == "cancelled":
        raise PaddockError("The summary of the older messages was stopped.")
    if generation.error is not None:
        raise PaddockError(f"The older messages could not be summarized. {generation.error.message}")
    return visible_text(split_stored(generation.final_text)).strip() or earlier
