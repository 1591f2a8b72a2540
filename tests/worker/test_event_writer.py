"""The event writer keeps the order, batches text, and loses nothing at the end."""

from __future__ import annotations

import io
import os

from modules.protocol.codec import decode_event
from modules.protocol.events import Chunk, Finished
from modules.worker.batch_pace import BatchPace
from modules.worker.event_writer import EventWriter


class _Stream(io.BytesIO):
    """A stream that keeps its text after it is closed, and counts the writes."""

    writes = 0

    def write(self, data: object) -> int:
        self.writes += 1
        return super().write(data)  # type: ignore[arg-type]


def test_text_of_two_generations_stays_in_order() -> None:
    stream = _Stream()
    writer = EventWriter(stream, BatchPace(60.0))
    for number in range(100):
        writer.put(Chunk("a", f"{number} ", 1))
        writer.put(Chunk("b", f"{number}-", 1))
    writer.put(Finished("a", "stop"))
    writer.put(Chunk("b", "end", 1))
    writer.close()
    events = [decode_event(line) for line in stream.getvalue().splitlines()]
    for id, expected in (
        ("a", "".join(f"{n} " for n in range(100))),
        ("b", "".join(f"{n}-" for n in range(100)) + "end"),
    ):
        chunks = [event for event in events if isinstance(event, Chunk) and event.id == id]
        assert "".join(chunk.text for chunk in chunks) == expected
        assert sum(chunk.tokens for chunk in chunks) == 100 + (id == "b")
    places = [index for index, event in enumerate(events) if event.id == "a"]  # type: ignore[union-attr]
    assert isinstance(events[places[-1]], Finished)


def test_text_is_batched_and_the_end_is_sent_at_once() -> None:
    stream = _Stream()
    writer = EventWriter(stream, BatchPace(60.0))
    for _ in range(1000):
        writer.put(Chunk("a", "x", 1))
    writer.put(Finished("a", "stop"))
    writer.close()
    assert stream.writes <= 4


def test_the_worker_does_not_hang_after_the_hosts_death() -> None:
    source, sink = os.pipe()
    os.close(source)
    with os.fdopen(sink, "wb", buffering=0) as stream:
        writer = EventWriter(stream)
        writer.put(Finished("a", "stop"))
        writer.close()


def test_the_first_text_of_each_reply_is_sent_at_once() -> None:
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as lines, os.fdopen(sink, "wb", buffering=0) as stream:
        writer = EventWriter(stream, BatchPace(60.0))
        for id in ("a", "b", "c"):
            writer.put(Chunk(id, "x", 1))
            # This would take a minute if it were batched with the text of the others.
            assert decode_event(lines.readline()) == Chunk(id, "x", 1)
        writer.close()
