"""Sends events to the host: the first text at once, later text in batches of some hundredths of a second.

Each line costs host and worker tens of microseconds and a wake-up. With few cores the engine loses that time.
"""

from __future__ import annotations

import threading
import time
from typing import BinaryIO

from modules.protocol.codec import encode
from modules.protocol.events import Chunk, Event

BATCH_SECONDS = 0.05


class EventWriter:
    """Writes events to `stream` on its own thread, so that `put` never blocks. `gather`: seconds per batch of text."""

    def __init__(self, stream: BinaryIO, gather: float = BATCH_SECONDS) -> None:
        self._stream = stream
        self._gather = gather
        self._events: list[Event] = []
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
                for index in range(len(self._events) - 1, -1, -1):
                    waiting = self._events[index]
                    if getattr(waiting, "id", None) == event.id:
                        if isinstance(waiting, Chunk):
                            self._events[index] = Chunk(
                                event.id,
                                waiting.text + event.text,
                                waiting.tokens + event.tokens,
                                waiting.logprobs + event.logprobs,
                            )
                            return
                        break
            self._events.append(event)
            if self._idle or not isinstance(event, Chunk):
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._idle = True
                self._condition.wait_for(lambda: self._events or self._closing)
                self._idle = False
                if not self._events:
                    return
                batch, self._events = self._events, []
            try:
                self._stream.write(b"".join(encode(event).encode() + b"\n" for event in batch))
                self._stream.flush()
            except (OSError, ValueError):
                # The host has died; the reader thread ends this process.
                return
            with self._condition:
                # Only text is batched: any other event is sent at once.
                deadline = time.monotonic() + self._gather
                while not self._closing and all(isinstance(event, Chunk) for event in self._events):
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
