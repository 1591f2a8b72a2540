"""Text is batched for longer while many replies run at once."""

from __future__ import annotations

import contextlib

from modules.worker.batch_pace import BATCH_SECONDS, BatchPace


def _seconds(replies: int) -> float:
    pace = BatchPace()
    with contextlib.ExitStack() as running:
        for _ in range(replies):
            running.enter_context(pace.reply())
        return pace.seconds


def test_few_replies_flow_and_many_send_no_more_messages_together() -> None:
    assert [_seconds(replies) for replies in (0, 1, 2)] == [BATCH_SECONDS] * 3
    assert _seconds(4) == 2 * BATCH_SECONDS
    assert _seconds(8) == _seconds(16) == _seconds(64) == 0.2


def test_a_reply_that_has_ended_counts_no_more() -> None:
    pace = BatchPace()
    with pace.reply(), pace.reply():
        assert pace.several
    assert not pace.several
    assert pace.seconds == BATCH_SECONDS
