"""The thread that stores live replies: their first words at once, then about once a second, and at their end."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from modules.chat.reply import Reply
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)


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

    def store_soon(self, reply: Reply) -> None:
        """Store this reply in its present state: something other than its text has changed."""
        with self._changed:
            for entry in self._entries:
                if entry.reply is reply:
                    entry.due = 0
            self._changed.notify()

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
            # A reply may begin with a mark alone, such as <think>. Its words come after it.
            entry.begun = entry.begun or any(part.text for part in reply.parts)
            self._changed.notify()

    def _end(self, entry: _Entry) -> None:
        """Call `on_end`, on another thread than the saver's: it may take long, and other replies must be stored."""
        reply, continues = entry.reply, False
        try:
            continues = reply.on_end is not None and reply.on_end(reply)
        except Exception:
            _LOG.exception("A hook at the end of a reply failed; the reply keeps the text that the model wrote.")
        if continues and reply.generation is not None:
            entry.unsubscribe()
            reply.ending = False
            entry.unsubscribe = reply.generation.on_change(lambda: self._arrived(entry))
        else:
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
