"""The thread that stores live replies: their first words at once, then about once a second, and at their end."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modules.chat.parts import Part
from modules.chat.parts_reader import USUAL, PartsReader
from modules.generation.generation import Generation
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)
# Fields of events.Finished that are stored with a message.
_FINISHED_FIELDS = (
    "reason",
    "prompt_tokens",
    "cached_tokens",
    "cut_tokens",
    "generated_tokens",
    "prefill_seconds",
    "decode_seconds",
    "seed",
)


@dataclass(eq=False)
class Reply:
    """A reply from its request to its end. `generation` is None while its prompt is made.

    `reader`: splits the text that arrives into parts. `meta` is known at the start.

    `over` is set when the reply has ended and was stored, or storing it failed.
    `on_end` is called once when the generation has ended, before the reply counts as done: hooks of extensions then
    run and set `final`, the parts to show. `problem`: a sentence that says why its text is only in memory.
    """

    chat_id: str
    message_id: str = ""
    reader: PartsReader = field(default_factory=lambda: PartsReader(USUAL))
    generation: Generation | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    stopping: bool = False
    problem: str = ""
    on_end: Callable[[Reply], None] | None = None
    ending: bool = False
    final: tuple[Part, ...] | None = None
    over: threading.Event = field(default_factory=threading.Event)
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _length: int = 0

    @property
    def done(self) -> bool:
        """Return True if no more text will arrive and the hooks have run."""
        return self.generation is not None and self.generation.done and self.on_end is None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the whole message: the parts that it continues, and what has arrived."""
        if self.final is not None:
            return self.final
        self.read()
        return self.reader.parts()

    def read(self) -> None:
        """Give the text that has arrived since the last call to the reader."""
        generation = self.generation
        if generation is None:
            return
        with self._reading:
            done, tokens = generation.done, generation.tokens
            fresh = generation.text[self._length :]
            if fresh:
                self._length += len(fresh)
                self.reader.feed(fresh, tokens)
            if done:
                self.reader.finish()

    def current_meta(self) -> dict[str, object]:
        """Return the message's present meta. It is complete once the reply is done."""
        meta = dict(self.meta)
        generation = self.generation
        if generation is not None and generation.finished is not None:
            finished = generation.finished
            for name in _FINISHED_FIELDS:
                meta[name] = getattr(finished, name)
            meta["stopped"] = finished.reason == "cancelled"
            if remark := generation.empty_reply_note:
                meta["notes"] = [*meta.get("notes", ()), remark]
        elif generation is not None and generation.error is not None:
            error = generation.error
            meta.update(
                reason="error",
                error=error.message,
                detail=error.detail,
                code=error.code,
                lower=list(error.lower),
                generated_tokens=generation.tokens,
                stopped=False,
            )
        if self.problem:
            meta["unsaved"] = self.problem
        return meta


@dataclass(eq=False)
class _Entry:
    """A reply that is followed.

    `due`: when to store it next, in monotonic seconds; infinite if nothing is new. `begun`: its first words are stored,
    or will be at once.
    """

    reply: Reply
    due: float = math.inf
    begun: bool = False
    unsubscribe: Callable[[], None] = lambda: None


class ReplySaver:
    """One thread for all live replies. It sleeps until one is due.

    `save(reply, last)` stores a reply and returns True if that worked; `last`: no more text will arrive. A last save
    that failed is repeated every `retry` seconds until `close`.
    """

    def __init__(self, save: Callable[[Reply, bool], bool], every: float, retry: float) -> None:
        self._save = save
        self._every = every
        self._retry = retry
        self._changed = threading.Condition()
        self._entries: list[_Entry] = []
        self._closing = False
        self._thread = host_thread("chat-saver", self._run, "Storing replies")
        self._thread.start()

    def follow(self, reply: Reply) -> None:
        """Store this reply from now on, until its end."""
        assert reply.generation is not None
        entry = _Entry(reply)
        with self._changed:
            self._entries.append(entry)
        entry.unsubscribe = reply.generation.on_change(lambda: self._arrived(entry))

    def close(self) -> None:
        """Store every reply in its present state, then end the thread."""
        with self._changed:
            self._closing = True
            for entry in self._entries:
                entry.due = 0
            self._changed.notify()
        self._thread.join()

    def _arrived(self, entry: _Entry) -> None:
        # Called for each token. The saver resets `due` before it reads the text. So if `due` is finite here, the text
        # that just arrived will be stored, and no lock is needed to return at once.
        reply = entry.reply
        if reply.on_end is not None and not reply.ending and reply.generation is not None and reply.generation.done:
            reply.ending = True
            host_thread("chat-reply-end", lambda: self._end(entry), "Hooks at the end of a reply").start()
        if reply.reader.is_thinking:
            # Reasoning is timed by when its text arrives.
            reply.read()
        done = reply.done
        if entry.due != math.inf and not done:
            return
        with self._changed:
            entry.due = 0 if done or not entry.begun else time.monotonic() + self._every
            entry.begun = True
            self._changed.notify()

    def _end(self, entry: _Entry) -> None:
        """Call `on_end`, on another thread than the saver's: it may take long, and other replies must be stored."""
        reply = entry.reply
        try:
            if reply.on_end is not None:
                reply.on_end(reply)
        except Exception:
            _LOG.exception("A hook at the end of a reply failed; the reply keeps the text that the model wrote.")
        finally:
            reply.on_end = None
            self._arrived(entry)

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            last = entry.reply.done or self._closing
            stored = self._try(entry.reply, last)
            with self._changed:
                if last and (stored or self._closing):
                    self._entries.remove(entry)
                    entry.unsubscribe()
                elif not stored:
                    entry.due = min(entry.due, time.monotonic() + self._retry)

    def _next(self) -> _Entry | None:
        """Wait for an entry that is due and return it; None after `close`, when all are stored."""
        with self._changed:
            while True:
                entry = min(self._entries, key=lambda entry: entry.due, default=None)
                if entry is None and self._closing:
                    return None
                wait = entry.due - time.monotonic() if entry else math.inf
                if entry is not None and wait <= 0:
                    entry.due = math.inf
                    return entry
                self._changed.wait(None if wait == math.inf else wait)

    def _try(self, reply: Reply, last: bool) -> bool:
        try:
            return self._save(reply, last)
        except Exception:
            # An error here must not end the thread that stores all replies.
            _LOG.exception("Storing a reply failed.")
            return False
