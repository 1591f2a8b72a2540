"""Grammars in llama.cpp's format GBNF, and JSON schemas, enforced by llguidance if the environment has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from modules.protocol.errors import PromptError, Unsupported
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import SamplingParams
from modules.worker.hf.sampler_chain import Learn, Step, Vocabulary

_SIMPLER = "Write it with fewer alternatives that can stand for the same text, or leave it out."


class Grammars:
    """Creates one matcher per generation. The tokenizer's table takes a second, so it is made once, at the first
    use."""

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._table: Any = None

    def start(self, params: SamplingParams) -> tuple[Step, Learn] | None:
        """Return the step that allows only tokens which the grammar allows, and the function that it must be called
        with for each chosen token; None without a grammar. Raises PromptError with the parser's message for an invalid
        grammar."""
        schema, text = parse_json_schema(params), params.grammar_string
        if schema is None and not text.strip():
            return None
        kind = "grammar" if schema is None else "JSON schema"
        try:
            import llguidance.torch as bits
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
        mask = bits.allocate_token_bitmask(1, self._vocabulary.size)

        def step(logits: Tensor) -> Tensor:
            bits.fill_next_token_bitmask(matcher, mask)
            # The matcher reached its limit on time or memory. Its mask is invalid from here on.
            if failure := matcher.get_error():
                raise PromptError(
                    f"The {kind} cannot be followed: {failure.splitlines()[0]}. {_SIMPLER}", detail=failure
                )
            allowed = mask[0].to(logits.device)
            places = torch.arange(32, device=logits.device, dtype=torch.int32)
            flags = ((allowed.unsqueeze(1) >> places) & 1).bool().flatten()[: logits.shape[0]]
            return logits.masked_fill(~flags, float("-inf"))

        def learn(token: int) -> None:
            matcher.consume_token(token)

        return step, learn

    def _tokenizer_table(self) -> object:
        if self._table is None:
            from llguidance.hf import from_tokenizer

            self._table = from_tokenizer(
                self._tokenizer, n_vocab=self._vocabulary.size, eos_token=list(self._vocabulary.ends) or None
            )
        return self._table
