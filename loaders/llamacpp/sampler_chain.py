"""Convert SamplingParams to a chain of llama.cpp's samplers, which work on the logits in place."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from modules.protocol.json_schema import parse_json_schema, unreadable_grammar_error
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import (
    CUT_SHARE,
    cut_removal_index,
    dry_breakers,
    is_greedy,
    penalty_range,
    sampler_chain,
    temperature,
    token_biases,
)

# Tokens that mirostat estimates from; llama.cpp's own choice.
_MIROSTAT_TOKENS = 100
# Mirostat replaces the cut-offs, and these alone act before it.
_BESIDE_MIROSTAT = ("penalties", "dry", "temperature")


class SamplerChain:
    """Chooses the next token from the latest logits. `ends`: ids of the tokens that end a text. Raises PromptError.

    A grammar is applied before the cut-offs, so that they cannot remove the last allowed token. With a grammar,
    ban_eos_token is ignored, since the end may be the only allowed token.
    """

    def __init__(
        self, lib: ModuleType, vocab: Any, params: SamplingParams, seed: int, context: int, ends: frozenset[int]
    ) -> None:
        self._lib = lib
        self._vocab = vocab
        self._size = int(lib.llama_vocab_n_tokens(vocab))
        self._alive: list[Any] = []
        self.handle = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        try:
            self._build(params, seed, context, ends)
        except BaseException:
            self.close()
            raise

    def _build(self, params: SamplingParams, seed: int, context: int, ends: frozenset[int]) -> None:
        lib, found = self._lib, token_biases(params)
        schema = parse_json_schema(params)
        if params.ban_eos_token and not params.grammar_string and schema is None:
            found.update(dict.fromkeys(ends, float("-inf")))
        wanted = {token: bias for token, bias in found.items() if 0 <= token < self._size}
        if wanted:
            array = (lib.llama_logit_bias * len(wanted))(*wanted.items())
            self._add(lib.llama_sampler_init_logit_bias(self._size, len(wanted), array))
        if grammar := params.grammar_string if schema is None else _schema_grammar(schema):
            self._add(lib.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root"))
        mirostat = params.mirostat_mode if not is_greedy(params) else 0
        names = [name for name in sampler_chain(params) if not mirostat or name in _BESIDE_MIROSTAT]
        misled = cut_removal_index(names, params)
        for place, name in enumerate(names):
            if place == misled:
                self._add(lib.llama_sampler_init_min_p(CUT_SHARE, 1))
            if name != "adaptive_p":
                self._add(self._sampler(name, params, seed, context))
        # Each of these chooses the token, so it comes last.
        tau, eta = params.mirostat_tau, params.mirostat_eta
        if is_greedy(params):
            self._add(lib.llama_sampler_init_greedy())
        elif mirostat == 1:
            self._add(lib.llama_sampler_init_mirostat(self._size, seed, tau, eta, _MIROSTAT_TOKENS))
        elif mirostat:
            self._add(lib.llama_sampler_init_mirostat_v2(seed, tau, eta))
        elif "adaptive_p" in names:
            self._add(lib.llama_sampler_init_adaptive_p(params.adaptive_target, params.adaptive_decay, seed))
        else:
            self._add(lib.llama_sampler_init_dist(seed))

    def _sampler(self, name: str, params: SamplingParams, seed: int, context: int) -> Any:
        lib, heat = self._lib, temperature(params)
        back = penalty_range(params, context)
        if name == "penalties":
            return lib.llama_sampler_init_penalties(
                self._size, back, params.repetition_penalty, params.frequency_penalty, params.presence_penalty
            )
        if name == "dry":
            texts = [text.encode() for text in dry_breakers(params)]
            array = (ctypes.c_char_p * len(texts))(*texts)
            self._alive.append(array)
            return lib.llama_sampler_init_dry(
                self._vocab,
                params.dry_multiplier,
                params.dry_base,
                params.dry_allowed_length,
                back,
                array,
                len(texts),
            )
        if name == "temperature":
            return lib.llama_sampler_init_temp_ext(heat.middle, heat.reach, params.dynatemp_exponent)
        if name == "top_n_sigma":
            return lib.llama_sampler_init_top_n_sigma(params.top_n_sigma)
        if name == "top_k":
            return lib.llama_sampler_init_top_k(params.top_k)
        if name == "top_p":
            return lib.llama_sampler_init_top_p(params.top_p, 1)
        if name == "typ_p":
            return lib.llama_sampler_init_typical(params.typical_p, 1)
        if name == "min_p":
            return lib.llama_sampler_init_min_p(params.min_p, 1)
        return lib.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, 1, seed)

    def _add(self, sampler: object) -> None:
        if not sampler:
            raise unreadable_grammar_error("llama.cpp")
        self._lib.llama_sampler_chain_add(self.handle, sampler)

    def remember(self, tokens: list[int]) -> None:
        """Pass the prompt to the penalties and DRY. A grammar starts with the reply."""
        lib = self._lib
        for index in range(lib.llama_sampler_chain_n(self.handle)):
            sampler = lib.llama_sampler_chain_get(self.handle, index)
            if lib.llama_sampler_name(sampler) in (b"penalties", b"dry"):
                for token in tokens:
                    lib.llama_sampler_accept(sampler, token)

    def close(self) -> None:
        """Free the chain and its samplers."""
        self._lib.llama_sampler_free(self.handle)


def _schema_grammar(schema: Mapping[str, object]) -> str:
    """Return the GBNF grammar of a JSON schema. Raises PromptError."""
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        return str(json_schema_to_gbnf(json.dumps(schema)))
    # The converter asserts what it does not know, and its patterns raise several kinds of errors.
    except Exception as error:
        raise unreadable_grammar_error("llama.cpp", f"{type(error).__name__}: {error}") from None
