"""Samplers for ExLlamaV3's jobs: Paddock's own, in the place of the engine's.

A job calls `forward` of its sampler for each token (exllamav3/generator/job.py, receive_logits, version 1.6.5). So
every sampler acts as docs/samplers.md defines it, and a grammar is followed as in the Transformers family. The module
imports torch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modules.protocol.errors import PaddockError
from modules.protocol.events import ReplyLogprob
from modules.protocol.sampling import SamplingParams
from modules.worker.broken_weights import nan_logits_error
from modules.worker.hf.grammar import Follower, Grammars
from modules.worker.hf.history_samplers import History
from modules.worker.hf.logprobs import is_number, token_scores
from modules.worker.hf.sampler_chain import SamplerChain, Vocabulary
from modules.worker.hf.special_tokens import newline_token

if TYPE_CHECKING:
    from modules.worker.hf.folder_tokenizer import FolderTokenizer


class Samplers:
    """Makes the sampler of each job of one loaded model.

    `size`: tokens of the vocabulary, without those that pad it. `device`: of the logits. `drafting`: the engine checks
    drafts.
    """

    def __init__(self, tokens: FolderTokenizer, size: int, device: Any, *, drafting: bool) -> None:
        def last_token(words: str) -> int | None:
            found = tokens.tokenize(words, False)
            return found[-1] if found else None

        self._vocabulary = Vocabulary(size, tuple(tokens.ends), newline_token(last_token), last_token)
        self._grammars = Grammars(tokens.tokenizer, size, tokens.ends)
        self._device, self._drafting, self._tokens = device, drafting, tokens

    def follow(self, params: SamplingParams) -> Follower | None:
        """Return what follows a reply with its grammar; None without one. Raises PromptError for an invalid one."""
        return self._grammars.follow(params)

    def make(
        self, prompt: list[int], params: SamplingParams, seed: int, logprobs: int, follower: Follower | None
    ) -> ChainSampler:
        """Return the sampler for a reply to `prompt`. `logprobs`: as in commands.Generate.

        Raises PromptError and SettingError for parameters that do not fit the model.
        """
        history = History(prompt, self._vocabulary.size, self._device, params.repetition_penalty_range)
        grammar = (follower.step, follower.learn) if follower else None
        chain = SamplerChain(params, self._vocabulary, history, seed, grammar)
        return ChainSampler(chain, self._vocabulary.size, self._drafting, logprobs, self._tokens.text.bytes_of)


class ChainSampler:
    """A sampler as a job of ExLlamaV3 calls it. `noted`: gets the log-probabilities of each token, if they are wanted.

    An error here would end all jobs of the batch, so none leaves `forward`: `ended_at` raises it in its own request.
    """

    # Only the engine's own samplers draw from torch's random numbers.
    reqs_torch_seed = False

    def __init__(self, chain: SamplerChain, size: int, drafting: bool, logprobs: int, bytes_of: Any) -> None:
        self._chain, self._size, self._logprobs, self._bytes_of = chain, size, logprobs, bytes_of
        # The engine then asks for one token after another, and only for those that it keeps. Else it would choose all
        # tokens of a draft before it compares them, and the chain would learn from tokens that are no part of the text.
        self.reqs_past_ids = drafting
        self.noted: deque[ReplyLogprob] = deque()
        self._chosen = 0
        self._over = False
        self._problem: PaddockError | None = None

    def ended_at(self, generated: int) -> bool:
        """Return True if no token is allowed after the first `generated`. Raises the PaddockError that ended the
        reply."""
        if generated < self._chosen:
            return False
        if self._problem:
            raise self._problem
        return self._over

    def forward(
        self,
        logits: Tensor,
        sequence_ids: Tensor | None = None,
        rand_u32: int | None = None,
        tokenizer: Any = None,
        logit_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the next token, [1, 1], for logits [1, 1, padded vocabulary]. Once the reply is over, any token."""
        token = None if self._over else self._choose(logits.reshape(-1)[: self._size])
        if token is None:
            self._over = True
        else:
            self._chosen += 1
        return torch.tensor([[token or 0]], dtype=torch.long)

    def _choose(self, logits: Tensor) -> int | None:
        try:
            # Before the samplers, which may change logits in place.
            scores = None if self._logprobs < 0 else logits.float().log_softmax(-1)
            token = self._chain.choose(logits)
            if not is_number(logits, token):
                raise nan_logits_error()
        except PaddockError as problem:
            self._problem = problem
            return None
        if token is not None and (entry := token_scores(scores, token, self._logprobs, self._bytes_of)) is not None:
            self.noted.append(entry)
        return token
