"""Sends events to the host: first text at once, then what gathers in some hundredths of a second.

Each line costs both sides some tens of microseconds and a wake-up; on few cores that time is taken from the engine.
"""

from __future__ import annotations

import threading
import time
from typing import BinaryIO

from modules.protocol.codec import encode
from modules.protocol.events import Chunk, Event

BATCH_SECONDS = 0.05


class EventWriter:
    """Owns the real stdout of the worker and one writer thread. `put` never blocks on the pipe."""

    def __init__(self, stream: BinaryIO, gather: float = BATCH_SECONDS) -> None:
        self._stream = stream
        self._gather = gather
        self._events: list[Event] = []
        self._condition = threading.Condition()
        self._closing = False
        # Whether the writer waits for anything at all; while it gathers, text need not wake it.
        self._idle = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event. Text of the generation that spoke last is joined to what is still waiting."""
        with self._condition:
            if isinstance(event, Chunk):
                for index in range(len(self._events) - 1, -1, -1):
                    waiting = self._events[index]
                    if getattr(waiting, "id", None) == event.id:
                        if isinstance(waiting, Chunk):
                            self._events[index] = Chunk(
                                event.id, waiting.text + event.text, waiting.tokens + event.tokens
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
                # The host is gone; the parent watch ends this process.
                return
            with self._condition:
                # Only text gathers: anything else that comes meanwhile goes out at once.
                deadline = time.monotonic() + self._gather
                while not self._closing and all(isinstance(event, Chunk) for event in self._events):
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        break
                    self._condition.wait(remaining)

    def close(self) -> None:
        """Send what waits, then end the writer thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout=5)
