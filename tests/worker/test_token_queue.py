"""The token queue keeps the order, and passes on the first and the last item at once."""

from __future__ import annotations

import threading

from modules.worker.batch_pace import BatchPace
from modules.worker.token_queue import TokenQueue


def test_the_first_item_is_passed_on_at_once_and_the_last_with_the_batch() -> None:
    queue: TokenQueue[int] = TokenQueue(BatchPace(60.0))
    items = queue.items(threading.Event())
    queue.put(0)
    # This would take a minute if the first item were batched.
    assert next(items) == 0
    waiting = threading.Thread(target=lambda: taken.extend(next(items) for _ in range(3)))
    taken: list[int] = []
    waiting.start()
    queue.put(1)
    queue.put(2)
    queue.put(3, last=True)
    waiting.join(30)
    assert taken == [1, 2, 3]


def test_a_batch_is_passed_on_without_an_end() -> None:
    queue: TokenQueue[int] = TokenQueue(BatchPace(0.01))
    items = queue.items(threading.Event())
    queue.put(0)
    assert next(items) == 0
    queue.put(1)
    assert next(items) == 1


def test_cancelling_ends_it_and_leaves_the_rest() -> None:
    cancelled = threading.Event()
    queue: TokenQueue[int] = TokenQueue(BatchPace(0.01))
    items = queue.items(cancelled)
    queue.put(0)
    queue.put(1)
    assert next(items) == 0
    cancelled.set()
    assert list(items) == []
