"""The reply of one job, from the generator's results to pieces of text and the outcome."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from modules.protocol.events import ReplyLogprob
from modules.worker.engine import Outcome, Piece
from modules.worker.exllama.batcher import RunningJob
from modules.worker.exllama.results import FINISH_REASONS, cached_tokens, drafted_tokens, token_ids
from modules.worker.hf.folder_tokenizer import TokenizedPrompt
from modules.worker.reply_text import ReplyText


@dataclass(frozen=True)
class Asked:
    """What a job is for. `wanted`: the most tokens that the request asks for; `longest`: those that also fit into the
    context. `began`: when the request came, as of time.monotonic."""

    prompt: TokenizedPrompt
    wanted: int
    longest: int
    seed: int
    began: float


def stream_reply(
    job: RunningJob, asked: Asked, reply: ReplyText, noted: deque[ReplyLogprob], ended: Callable[[int], bool]
) -> Generator[Piece, None, Outcome]:
    """Yield the text of a job's reply, and return how it ended. The job is cancelled if it has not ended then.

    `noted`: gets the log-probabilities of each token before its result arrives, or nothing. `ended`: returns True if a
    grammar allows nothing after the first so many tokens, and raises what went wrong with it.
    """
    first, reason = 0.0, "cancelled"
    last: dict[str, Any] = {}
    try:
        for result in job:
            for token in token_ids(result):
                if ended(reply.generated):
                    break
                first = first or time.monotonic()
                scores = noted.popleft() if noted else None
                if reply.generated < asked.longest and not reply.stopped and (piece := reply.take(token, scores)):
                    yield piece
            if reply.stopped:
                break
            if ended(reply.generated):
                reason = "stop"
                break
            if result["eos"]:
                last = result
                reason = FINISH_REASONS.get(result.get("eos_reason", ""), "stop")
    finally:
        job.close()
    if not job.cancelled and (piece := reply.end()):
        yield piece
    if reason == "length" and asked.longest < asked.wanted:
        reason = "context"
    now = time.monotonic()
    first = first or now
    return Outcome(
        "stop_text" if reply.stopped else reason,
        len(asked.prompt.tokens),
        cached_tokens(job, last),
        asked.prompt.cut,
        reply.generated,
        first - asked.began,
        now - first,
        asked.seed,
        *drafted_tokens(job),
    )
