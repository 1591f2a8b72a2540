"""Grammars in llama.cpp's format GBNF, and JSON schemas, enforced by llguidance if the environment has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modules.protocol.errors import PromptError, Unsupported
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import SamplingParams
from modules.worker.hf.sampler_chain import Learn, Step

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from transformers import PreTrainedTokenizerBase

_SIMPLER = "Write it with fewer alternatives that can stand for the same text, or leave it out."


class Follower:
    """Follows one reply: which tokens its grammar allows next. `kind`: what a person wrote, for error messages."""

    def __init__(self, matcher: LLMatcher, kind: str, size: int) -> None:
        """`size`: the number of logits."""
        import llguidance.torch as bits

        self._matcher, self._kind, self._fill = matcher, kind, bits.fill_next_token_bitmask
        self._mask = bits.allocate_token_bitmask(1, size)
        self._prepared = False

    def prepare(self) -> None:
        """Find the tokens that may come next, which `step` then uses. It may run while the model computes.

        Raises PromptError when the matcher reached its limit on time or memory.
        """
        self._fill(self._matcher, self._mask)
        # Its mask is invalid from here on.
        if failure := self._matcher.get_error():
            words = f"The {self._kind} cannot be followed: {failure.splitlines()[0]}. {_SIMPLER}"
            raise PromptError(words, detail=failure)
        self._prepared = True

    def step(self, logits: Tensor) -> Tensor:
        """Return logits [vocabulary] with those of all other tokens at minus infinity. Raises PromptError."""
        if not self._prepared:
            self.prepare()
        allowed = self._mask[0].to(logits.device)
        places = torch.arange(32, device=logits.device, dtype=torch.int32)
        flags = ((allowed.unsqueeze(1) >> places) & 1).bool().flatten()[: logits.shape[0]]
        return logits.masked_fill(~flags, float("-inf"))

    def learn(self, token: int) -> None:
        """Go on with a chosen token."""
        self._prepared = False
        self._matcher.consume_token(token)


class Grammars:
    """Creates one matcher per generation. The tokenizer's table takes a second, so it is made once, at the first
    use."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, size: int, ends: Sequence[int]) -> None:
        """`size`: number of logits; `ends`: tokens that end a text."""
        self._tokenizer, self._size, self._ends = tokenizer, size, ends
        self._table: LLTokenizer | None = None

    def start(self, params: SamplingParams) -> tuple[Step, Learn] | None:
        """Return the step that allows only tokens which the grammar allows, and the function that it must be called
        with for each chosen token; None without a grammar. Raises as `follow`."""
        follower = self.follow(params)
        return (follower.step, follower.learn) if follower else None

    def follow(self, params: SamplingParams) -> Follower | None:
        """Return what follows a reply with its grammar; None without a grammar. Raises PromptError with the parser's
        message for an invalid grammar."""
        schema, text = parse_json_schema(params), params.grammar_string
        if schema is None and not text.strip():
            return None
        kind = "grammar" if schema is None else "JSON schema"
        try:
            from llguidance import LLMatcher
            from llguidance.gbnf_to_lark import any_to_lark
        except ImportError:
            raise Unsupported("This loader cannot follow a grammar. Remove it, or choose another loader.") from None
        try:
            if schema is None:
                grammar = LLMatcher.grammar_from_lark(any_to_lark(text))
            else:
                # A weak model would fill free whitespace for ever.
                grammar = LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False})
            matcher = LLMatcher(self._tokenizer_table(), grammar)
            problem = matcher.get_error()
        except Exception as error:
            problem = str(error)
        if problem:
            raise PromptError(f"The {kind} cannot be read: {problem.strip()} Correct it, or leave it empty.")
        return Follower(matcher, kind, self._size)

    def _tokenizer_table(self) -> LLTokenizer:
        if self._table is None:
            from llguidance.hf import from_tokenizer

            self._table = from_tokenizer(self._tokenizer, n_vocab=self._size, eos_token=list(self._ends) or None)
        return self._table
