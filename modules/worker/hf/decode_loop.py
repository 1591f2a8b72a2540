"""The loop that chooses token after token until a reply ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from torch import Tensor

from modules.protocol.commands import Generate
from modules.worker.broken_weights import nan_logits_error
from modules.worker.drafts import DraftedRows, Drafter
from modules.worker.engine import Piece
from modules.worker.hf.kv_cache import PrefixCache
from modules.worker.hf.logprobs import is_number, token_scores
from modules.worker.hf.sampler_chain import SamplerChain
from modules.worker.hf.samplers import guidance
from modules.worker.reply_text import ReplyText


@dataclass(frozen=True)
class DecodeLoop:
    """Generates the reply to a prompt that was read.

    `cache`: of the model, with the marked prompt. `against`: of the negative prompt, for guidance. `drafter`: guesses
    tokens; it is not asked with guidance. `room`: tokens that fit into the context. `ends`: tokens that end a reply.
    `bytes_of`: returns the bytes of a token, for log-probabilities.
    """

    chain: SamplerChain
    cache: PrefixCache
    against: PrefixCache
    drafter: Drafter | None
    room: int
    ends: frozenset[int]
    bytes_of: Callable[[int], bytes]

    def run(
        self, request: Generate, against: Tensor | None, cancelled: threading.Event, reply: ReplyText
    ) -> Generator[Piece, None, tuple[str, int, int]]:
        """Generate tokens. Return one of events.REASONS, and how many tokens were drafted and accepted.

        `against`: the logits after the negative prompt; None without guidance.
        """
        drafted = DraftedRows(self.cache, self.drafter if against is None else None)
        try:
            reason = yield from self._run(request, against, cancelled, reply, drafted)
        finally:
            drafted.close()
        return reason, drafted.drafted, drafted.accepted

    def _run(
        self,
        request: Generate,
        against: Tensor | None,
        cancelled: threading.Event,
        reply: ReplyText,
        drafted: DraftedRows[Tensor],
    ) -> Generator[Piece, None, str]:
        params = request.params
        logits = self.cache.marked_logits
        reason = "length" if params.max_new_tokens <= self.room else "context"
        for left in range(min(params.max_new_tokens, self.room) - 1, -1, -1):
            # Before the samplers, which may change logits in place.
            scores = None if request.logprobs < 0 else logits.float().log_softmax(-1)
            if against is not None:
                logits = guidance(logits.float(), against.float(), params.guidance_scale)
            token = self.chain.choose(logits)
            if not is_number(logits, token):
                raise nan_logits_error()
            if token is None or token in self.ends:
                reason = "stop"
                break
            if piece := reply.take(token, token_scores(scores, token, request.logprobs, self.bytes_of)):
                yield piece
            if reply.stopped:
                return "stop_text"
            if cancelled.is_set():
                reason = "cancelled"
                break
            if left:
                logits = drafted.after(token, left)
                against = self.against.read([token]) if against is not None else None
        if piece := reply.end():
            yield piece
        return "stop_text" if reply.stopped else reason
