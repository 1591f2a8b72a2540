"""Chooses the next token: applies the samplers that are not neutral in the user's order, then draws."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from modules.protocol.errors import PromptError
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import (
    DEFAULT_PRIORITY,
    parse_banned_tokens,
    parse_logit_biases,
    parse_sampler_order,
)
from modules.worker.hf import samplers as pure
from modules.worker.hf.history_samplers import AdaptiveP, History, Mirostat, NoRepeat, dry

# A sampler in the chain, and a function that is called with each chosen token.
Step = Callable[[Tensor], Tensor]
Learn = Callable[[int], None]

# Samplers that also matter to greedy decoding. All others only matter to a random draw.
_PENALTIES = DEFAULT_PRIORITY[:6]
_TEMPERATURES = ("temperature", "dynamic_temperature", "quadratic_sampling")
# They learn from the drawn token, so no sampler may come after them.
_LAST = ("adaptive_p", "mirostat")


@dataclass(frozen=True)
class Vocabulary:
    """Facts about the model's tokens for samplers. `size`: number of logits; `ends`: tokens that end a text; `newline`:
    token of a line break; `last_token`: returns the last token of a text (for DRY's breakers)."""

    size: int
    ends: tuple[int, ...]
    newline: int | None
    last_token: Callable[[str], int | None]


def order(params: SamplingParams) -> list[str]:
    """Return the names of the samplers in order: those that the user named, then the rest in the default order. With
    `temperature_last`, temperatures follow the cut-offs. Raises SettingError for an unknown name."""
    names = list(dict.fromkeys([*parse_sampler_order(params), *DEFAULT_PRIORITY]))
    if params.temperature_last:
        names.sort(key=lambda name: name in _TEMPERATURES)
    return sorted(names, key=lambda name: name in _LAST)


class SamplerChain:
    """Chooses tokens for one generation. Neutral parameters cost no time: plain greedy decoding is one argmax.


    `greedy`: always take the likeliest token; if the temperature is 0, after the penalties. `grammar`: a first step
    that allows only tokens of a grammar, and its function for chosen tokens. `hook`: changes of extensions to the
    logits, before all samplers. Raises PromptError if a banned or biased token does not exist, SettingError for an
    unknown sampler in the order.
    """

    def __init__(
        self,
        params: SamplingParams,
        vocabulary: Vocabulary,
        history: History,
        seed: int,
        grammar: tuple[Step, Learn] | None = None,
        hook: Step | None = None,
    ) -> None:
        self._params, self._vocabulary, self._history = params, vocabulary, history
        self._random = random.Random(seed)
        self.greedy = not params.do_sample or (params.temperature == 0 and not params.dynamic_temperature)
        self._learn: list[Learn] = [history.add]
        self._steps: list[Step] = [hook] if hook else []
        self._steps += self._first_steps()
        if grammar:
            self._steps.append(grammar[0])
            self._learn.append(grammar[1])
        steps = self._active_steps()
        for name in order(params):
            if name in steps and params.do_sample and (name in _PENALTIES or not self.greedy):
                self._steps.append(steps[name]())

    @property
    def neutral(self) -> bool:
        """True if logits are used unchanged."""
        return not self._steps

    def shape(self, logits: Tensor) -> Tensor:
        """Return the logits after all samplers: [vocabulary], float32."""
        for step in self._steps:
            logits = step(logits)
        return logits

    def choose(self, logits: Tensor) -> int | None:
        """Return the next token for logits [vocabulary], or None if no token is allowed (a grammar at its end)."""
        logits = self.shape(logits.float())
        token = self._likeliest(logits) if self.greedy else self._draw(logits)
        if token is not None:
            for learn in self._learn:
                learn(token)
        return token

    def _likeliest(self, logits: Tensor) -> int | None:
        token = int(logits.argmax())
        return token if not self._steps or float(logits[token]) > pure.CUT else None

    def _draw(self, logits: Tensor) -> int | None:
        reached = logits.softmax(0).cumsum(0, dtype=torch.float64)
        total = float(reached[-1])
        if not total > 0:  # NaN: every token is cut off.
            return None
        at = torch.searchsorted(reached, self._random.random() * total, right=True)
        return min(int(at), len(reached) - 1)

    def _first_steps(self) -> list[Step]:
        params, vocabulary = self._params, self._vocabulary
        banned, bias = parse_banned_tokens(params), parse_logit_biases(params)
        self._check("Banned tokens", banned)
        self._check("Logit bias", bias)
        if params.ban_eos_token:
            banned = [*banned, *vocabulary.ends]
        steps: list[Step] = []
        device = self._history.counts.device
        if bias:
            tokens = torch.tensor(list(bias), device=device)
            values = torch.tensor(list(bias.values()), device=device)
            steps.append(lambda logits: logits.index_add(0, tokens, values))
        if banned:
            removed = torch.tensor(banned, device=device)
            steps.append(lambda logits: logits.index_fill(0, removed, pure.CUT))
        return steps

    def _check(self, label: str, tokens: Iterable[int]) -> None:
        for token in tokens:
            if not 0 <= token < self._vocabulary.size:
                raise PromptError(f"{label}: there is no token {token}; ids go from 0 to {self._vocabulary.size - 1}.")

    def _active_steps(self) -> dict[str, Callable[[], Step]]:
        """Return the functions that make the steps of all samplers that are not neutral, by name."""
        p, history = self._params, self._history
        makers: dict[str, tuple[bool, Callable[[], Step]]] = {
            "repetition_penalty": (
                p.repetition_penalty != 1,
                lambda: lambda x: pure.repetition_penalty(x, history.counts > 0, p.repetition_penalty),
            ),
            "presence_penalty": (
                p.presence_penalty != 0,
                lambda: lambda x: pure.presence_penalty(x, history.counts, p.presence_penalty),
            ),
            "frequency_penalty": (
                p.frequency_penalty != 0,
                lambda: lambda x: pure.frequency_penalty(x, history.counts, p.frequency_penalty),
            ),
            "dry": (p.dry_multiplier > 0, self._dry),
            "encoder_repetition_penalty": (
                p.encoder_repetition_penalty != 1,
                lambda: lambda x: pure.encoder_repetition_penalty(x, history.prompted, p.encoder_repetition_penalty),
            ),
            "no_repeat_ngram": (p.no_repeat_ngram_size > 0, self._no_repeat),
            "temperature": (
                p.temperature not in (0, 1) and not p.dynamic_temperature,
                lambda: lambda x: pure.temperature(x, p.temperature),
            ),
            "dynamic_temperature": (
                p.dynamic_temperature,
                lambda: lambda x: pure.dynamic_temperature(x, p.dynatemp_low, p.dynatemp_high, p.dynatemp_exponent),
            ),
            "quadratic_sampling": (
                p.smoothing_factor > 0,
                lambda: lambda x: pure.quadratic(x, p.smoothing_factor, p.smoothing_curve),
            ),
        }
        if p.mirostat_mode:
            makers["mirostat"] = (True, self._mirostat)
        else:
            makers |= self._cuts()
        return {name: make for name, (active, make) in makers.items() if active}

    def _cuts(self) -> dict[str, tuple[bool, Callable[[], Step]]]:
        """Return the cut-offs, which mirostat replaces: name -> (active, function that makes the step)."""
        p = self._params
        return {
            "top_n_sigma": (p.top_n_sigma > 0, lambda: lambda x: pure.top_n_sigma(x, p.top_n_sigma)),
            "top_k": (p.top_k > 0, lambda: lambda x: pure.top_k(x, p.top_k)),
            "top_p": (p.top_p < 1, lambda: lambda x: pure.top_p(x, p.top_p)),
            "typical_p": (p.typical_p < 1, lambda: lambda x: pure.typical_p(x, p.typical_p)),
            "epsilon_cutoff": (p.epsilon_cutoff > 0, lambda: lambda x: pure.epsilon_cutoff(x, p.epsilon_cutoff * 1e-4)),
            "eta_cutoff": (p.eta_cutoff > 0, lambda: lambda x: pure.eta_cutoff(x, p.eta_cutoff * 1e-4)),
            "tfs": (p.tfs < 1, lambda: lambda x: pure.tail_free(x, p.tfs)),
            "top_a": (p.top_a > 0, lambda: lambda x: pure.top_a(x, p.top_a)),
            "min_p": (p.min_p > 0, lambda: lambda x: pure.min_p(x, p.min_p)),
            "adaptive_p": (p.adaptive_target > 0, self._adaptive),
            "xtc": (p.xtc_probability > 0, self._xtc),
        }

    def _dry(self) -> Step:
        p, history = self._params, self._history
        # The last token of a breaker within a text, as in p-e-w's DRY.
        ends = (self._vocabulary.last_token(f"a{breaker}") for breaker in p.dry_sequence_breakers if breaker)
        breakers = {token for token in ends if token is not None}
        return lambda x: dry(x, history.recent(), p.dry_multiplier, p.dry_base, p.dry_allowed_length, breakers)

    def _no_repeat(self) -> Step:
        memory, history = NoRepeat(self._params.no_repeat_ngram_size), self._history
        return lambda x: memory(x, history.tokens)

    def _mirostat(self) -> Step:
        state = Mirostat(self._params.mirostat_mode, self._params.mirostat_tau, self._params.mirostat_eta)
        self._learn.append(state.chosen)
        return state

    def _adaptive(self) -> Step:
        state = AdaptiveP(self._params.adaptive_target, self._params.adaptive_decay)
        self._learn.append(state.chosen)
        return state

    def _xtc(self) -> Step:
        newline = () if self._vocabulary.newline is None else (self._vocabulary.newline,)
        kept = torch.tensor([*self._vocabulary.ends, *newline], dtype=torch.long, device=self._history.counts.device)
        probability, threshold = self._params.xtc_probability, self._params.xtc_threshold

        def step(logits: Tensor) -> Tensor:
            return pure.xtc(logits, threshold, kept) if self._random.random() < probability else logits

        return step
