"""Sends events to the host: a reply's first text at once, later text in batches of some hundredths of a second.

Each line costs host and worker tens of microseconds and a wake-up. With few cores the engine loses that time.
"""

from __future__ import annotations

import threading
import time
from typing import BinaryIO

from modules.protocol.codec import encode
from modules.protocol.events import Chunk, Event
from modules.worker.batch_pace import BatchPace

# Replies that run at once get their tokens of one step together, so their texts are written together.
_TOGETHER_SECONDS = 0.002


class EventWriter:
    """Writes events to `stream` on its own thread, so that `put` never blocks. `pace`: how long text is batched."""

    def __init__(self, stream: BinaryIO, pace: BatchPace | None = None) -> None:
        self._stream = stream
        self.pace = pace or BatchPace()
        self._events: list[Event] = []
        # Generations whose first text was queued, until their end.
        self._begun: set[str] = set()
        # True if an event is queued that is not to be batched.
        self._urgent = False
        self._condition = threading.Condition()
        self._closing = False
        # True while the writer is idle. While it batches text, new text does not wake it.
        self._idle = False
        self._thread = threading.Thread(target=self._run, name="event writer", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event. Text is joined to queued text of its generation, unless another of its events is between."""
        with self._condition:
            if isinstance(event, Chunk):
                if self._join(event):
                    return
                urgent = event.id not in self._begun
                self._begun.add(event.id)
            else:
                self._begun.discard(getattr(event, "id", ""))
                urgent = True
            self._events.append(event)
            self._urgent |= urgent
            if self._idle or urgent:
                self._condition.notify()

    def _join(self, event: Chunk) -> bool:
        """Join text to the last queued event of its generation. Return False if that is no text, or if none waits."""
        for index in range(len(self._events) - 1, -1, -1):
            waiting = self._events[index]
            if getattr(waiting, "id", None) == event.id:
                if not isinstance(waiting, Chunk):
                    return False
                self._events[index] = Chunk(
                    event.id,
                    waiting.text + event.text,
                    waiting.tokens + event.tokens,
                    waiting.logprobs + event.logprobs,
                )
                return True
        return False

    def _run(self) -> None:
        while True:
            with self._condition:
                self._idle = True
                self._condition.wait_for(lambda: self._events or self._closing)
                self._idle = False
                if not self._events:
                    return
            if self.pace.several and not self._closing:
                time.sleep(_TOGETHER_SECONDS)
            with self._condition:
                batch, self._events = self._events, []
                self._urgent = False
            try:
                self._stream.write(b"".join(encode(event).encode() + b"\n" for event in batch))
                self._stream.flush()
            except (OSError, ValueError):
                # The host has died; the reader thread ends this process.
                return
            with self._condition:
                deadline = time.monotonic() + self.pace.least
                while not self._closing and not self._urgent:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        break
                    self._condition.wait(remaining)

    def close(self) -> None:
        """Send the queued events, then end the writer thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout=5)
