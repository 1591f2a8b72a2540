"""The log-probabilities of a job's tokens, taken from the model's logits before its sampler changes them in place.

The generator calls `ExLlamaV2DynamicJob.receive_logits` once for each token that it then keeps, also for tokens of a
draft (exllamav2/generator/dynamic.py, iterate_gen, version 0.3.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from modules.protocol.events import ReplyLogprob
from modules.worker.hf.logprobs import token_scores


def note_logprobs(job: Any, count: int, size: int, bytes_of: Callable[[int], bytes]) -> deque[ReplyLogprob]:
    """Return a queue of entries of Chunk.logprobs, which gets one for each token that the job samples.

    `count`: likeliest tokens of each. `size`: tokens of the vocabulary, without those that pad it. `bytes_of`: what a
    token adds to a text.
    """
    noted: deque[ReplyLogprob] = deque()
    sample = job.receive_logits

    def receive_logits(logits: Any) -> Any:
        # With guidance the second row is the negative prompt's.
        scores = logits[0, 0, :size].float().log_softmax(-1)
        sampled = sample(logits)
        if (entry := token_scores(scores, int(sampled[0].item()), count, bytes_of)) is not None:
            noted.append(entry)
        return sampled

    job.receive_logits = receive_logits
    return noted
