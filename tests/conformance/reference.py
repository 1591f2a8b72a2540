"""Computes the next token's probabilities by the definitions, from SamplingParams, logits and a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import DEFAULT_PRIORITY, parse_banned_tokens, parse_logit_biases
from tests.conformance import reference_cuts as cuts
from tests.conformance import reference_heat as heat
from tests.conformance.reference_cuts import Floats, probabilities
from tests.conformance.reference_memory import AdaptiveP, Mirostat

_TEMPERATURES = ("temperature", "dynamic_temperature", "quadratic_sampling")
_PENALTIES = DEFAULT_PRIORITY[: DEFAULT_PRIORITY.index("no_repeat_ngram") + 1]
# These draw the token, so no sampler can come after them.
_LAST = ("adaptive_p", "mirostat")


@dataclass(frozen=True)
class Tokens:
    """Facts about the vocabulary for samplers. `breakers`: the tokens that are DRY breakers."""

    end: int
    newline: int
    breakers: frozenset[int]


@dataclass(frozen=True)
class Departures:
    """How an engine differs from the definitions. Its spec's `differs` describes each difference."""

    xtc_protects: bool = True
    mirostat_hears_penalties: bool = True
    cut_tokens_mislead: bool = False
    dry_longest: int = heat.DRY_LONGEST


class Reference:
    """One generation: `probabilities` of its next token, then `learn` with the drawn token."""

    def __init__(
        self, params: SamplingParams, tokens: Tokens, prompt: list[int], departures: Departures | None = None
    ) -> None:
        self._p, self._tokens, self._prompt = params, tokens, prompt
        self._text = list(prompt)
        self._departures = departures or Departures()
        self._mirostat = Mirostat(params.mirostat_mode, params.mirostat_tau, params.mirostat_eta)
        self._adaptive = AdaptiveP(params.adaptive_target, params.adaptive_decay)
        self._greedy = not params.do_sample or (params.temperature == 0 and not params.dynamic_temperature)

    def learn(self, token: int) -> None:
        """Take note of the drawn token."""
        self._text.append(token)
        if self._p.mirostat_mode and not self._greedy:
            self._mirostat.learn(token)
        elif self._p.adaptive_target and not self._greedy:
            self._adaptive.learn(token)

    def probabilities(self, logits: Floats, negative: Floats | None = None) -> Floats:
        """Return probabilities [vocabulary] for logits of this shape. `negative`: logits after the negative prompt."""
        if negative is not None:
            logits = heat.guidance(logits, negative, self._p.guidance_scale)
        left = self._biased(logits)
        for name in self._order():
            left = self._samplers()[name](left)
        if self._greedy:
            left = cuts.only(left, np.arange(len(left)) == left.argmax())
        return probabilities(left)

    def _order(self) -> list[str]:
        p = self._p
        names = [name for name in dict.fromkeys([*p.sampler_priority, *DEFAULT_PRIORITY]) if self._acts(name)]
        if p.temperature_last:
            names.sort(key=lambda name: name in _TEMPERATURES)
        return sorted(names, key=lambda name: name in _LAST)

    def _acts(self, name: str) -> bool:
        p = self._p
        active = {
            "repetition_penalty": p.repetition_penalty != 1,
            "presence_penalty": p.presence_penalty != 0,
            "frequency_penalty": p.frequency_penalty != 0,
            "dry": p.dry_multiplier > 0,
            "encoder_repetition_penalty": p.encoder_repetition_penalty != 1,
            "no_repeat_ngram": p.no_repeat_ngram_size > 0,
            "temperature": p.temperature > 0 and not p.dynamic_temperature,
            "dynamic_temperature": p.dynamic_temperature,
            "quadratic_sampling": p.smoothing_factor > 0,
            "top_n_sigma": p.top_n_sigma > 0,
            "top_k": p.top_k > 0,
            "top_p": p.top_p < 1,
            "typical_p": p.typical_p < 1,
            "epsilon_cutoff": p.epsilon_cutoff > 0,
            "eta_cutoff": p.eta_cutoff > 0,
            "tfs": p.tfs < 1,
            "top_a": p.top_a > 0,
            "min_p": p.min_p > 0,
            "adaptive_p": p.adaptive_target > 0,
            "mirostat": p.mirostat_mode > 0,
            "xtc": p.xtc_probability > 0,
        }[name]
        if not p.do_sample:
            return False
        if self._greedy:
            return active and name in _PENALTIES
        if p.mirostat_mode and name in _PENALTIES and not self._departures.mirostat_hears_penalties:
            return False
        return active and (not p.mirostat_mode or name in (*_PENALTIES, *_TEMPERATURES, "mirostat"))

    def _samplers(self) -> dict[str, Callable[[Floats], Floats]]:
        p, tokens, departures = self._p, self._tokens, self._departures
        seen = self._text[-p.repetition_penalty_range :] if p.repetition_penalty_range else self._text
        misled = departures.cut_tokens_mislead and p.min_p > 0
        protected = (tokens.end, tokens.newline) if departures.xtc_protects else ()
        return {
            "repetition_penalty": lambda x: heat.repetition_penalty(x, seen, p.repetition_penalty),
            "presence_penalty": lambda x: heat.presence_penalty(x, seen, p.presence_penalty),
            "frequency_penalty": lambda x: heat.frequency_penalty(x, seen, p.frequency_penalty),
            "dry": lambda x: heat.dry(
                x,
                seen,
                p.dry_multiplier,
                p.dry_base,
                p.dry_allowed_length,
                set(tokens.breakers),
                departures.dry_longest,
            ),
            "encoder_repetition_penalty": lambda x: heat.encoder_repetition_penalty(
                x, self._prompt, p.encoder_repetition_penalty
            ),
            "no_repeat_ngram": lambda x: heat.no_repeat_ngram(x, self._text, p.no_repeat_ngram_size),
            "temperature": lambda x: heat.temperature(x, p.temperature),
            "dynamic_temperature": lambda x: heat.dynamic_temperature(
                x,
                p.dynatemp_low,
                p.dynatemp_high,
                p.dynatemp_exponent,
                len(x) if misled else 0,
            ),
            "quadratic_sampling": lambda x: heat.quadratic(x, p.smoothing_factor, p.smoothing_curve),
            "top_n_sigma": lambda x: cuts.top_n_sigma(x, p.top_n_sigma),
            "top_k": lambda x: cuts.top_k(x, p.top_k),
            "top_p": lambda x: cuts.top_p(x, p.top_p),
            "typical_p": lambda x: cuts.typical_p(x, p.typical_p),
            "epsilon_cutoff": lambda x: cuts.epsilon_cutoff(x, p.epsilon_cutoff * 1e-4),
            "eta_cutoff": lambda x: cuts.eta_cutoff(x, p.eta_cutoff * 1e-4),
            "tfs": lambda x: cuts.tail_free(x, p.tfs),
            "top_a": lambda x: cuts.top_a(x, p.top_a),
            "min_p": lambda x: cuts.min_p(x, p.min_p),
            "adaptive_p": self._adaptive,
            "mirostat": self._mirostat,
            "xtc": lambda x: cuts.xtc(x, p.xtc_threshold, protected),
        }

    def _biased(self, logits: Floats) -> Floats:
        left: Floats = logits.copy()
        for token, bias in parse_logit_biases(self._p).items():
            left[token] += bias
        left[parse_banned_tokens(self._p)] = -np.inf
        if self._p.ban_eos_token:
            left[self._tokens.end] = -np.inf
        return left
