"""The handover between an engine's thread and a reply's: order is kept, the first and the last come at once."""

from __future__ import annotations

import threading

from modules.worker.token_queue import Handover


def test_the_first_comes_at_once_and_the_last_brings_what_gathered() -> None:
    handover: Handover[int] = Handover(gather=60.0)
    items = handover.items(threading.Event())
    handover.put(0)
    # Would take a minute if it gathered.
    assert next(items) == 0
    waiting = threading.Thread(target=lambda: taken.extend(next(items) for _ in range(3)))
    taken: list[int] = []
    waiting.start()
    handover.put(1)
    handover.put(2)
    handover.put(3, last=True)
    waiting.join(30)
    assert taken == [1, 2, 3]


def test_what_gathers_comes_without_an_end() -> None:
    handover: Handover[int] = Handover(gather=0.01)
    items = handover.items(threading.Event())
    handover.put(0)
    assert next(items) == 0
    handover.put(1)
    assert next(items) == 1


def test_cancelling_ends_it_and_leaves_the_rest() -> None:
    cancelled = threading.Event()
    handover: Handover[int] = Handover(gather=0.01)
    items = handover.items(cancelled)
    handover.put(0)
    handover.put(1)
    assert next(items) == 0
    cancelled.set()
    assert list(items) == []
