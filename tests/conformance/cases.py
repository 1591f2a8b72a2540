"""The inputs of all engines: fixed logits, texts and parameters. Each case names the sampler that it tests.

The logits have the demo model's vocabulary, so that each of its loaders gets the same input.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modules.protocol.sampling import SamplingParams
from tests.conformance.reference import Tokens
from tests.conformance.reference_cuts import Floats

SIZE = 2048
# The demo model's end token and line break. The line break is also the only DRY breaker of these cases.
TOKENS = Tokens(end=2, newline=15, breakers=frozenset({15}))
BREAKERS = ["\n"]


def logits() -> dict[str, Floats]:
    """Return difficult logits by name. All are exact in float32, so that no engine rounds them."""
    chance = np.random.default_rng(20240817)
    normal = chance.normal(0.0, 3.0, SIZE)
    peaked = chance.normal(-6.0, 1.5, SIZE)
    peaked[[700, 30, 1200, 15, 2]] = [9.0, 7.5, 6.25, 6.0, 5.5]
    # Tied tokens, at the top and in the middle, above a flat tail.
    tied = np.zeros(SIZE)
    tied[100:104], tied[300:340] = 6.0, 3.0
    tied[900] = 6.5
    chat = chance.normal(-2.0, 2.0, SIZE)
    chat[[40, 41, 42, 43, 44, 45]] = [8.0, 7.0, 7.5, 6.0, 5.0, -3.0]
    shapes = {"normal": normal, "peaked": peaked, "tied": tied, "chat": chat}
    return {name: values.astype(np.float32).astype(np.float64) for name, values in shapes.items()}


PLAIN = [1, 50, 60, 70]
# 42 would extend "40 41" to a repeat of three; 43 occurs four times, 44 three times; 15 is a breaker; the seen token 45
# has a negative logit.
LOOP = [1, 40, 41, 42, 43, 44, 15, 43, 45, 44, 43, 40, 41, 42, 15, 44, 43, 40, 41]
# The breaker itself would continue the repeat "40 41".
BROKEN = [1, 40, 41, 15, 42, 15, 43, 40, 41, 44, 15, 40, 41]
LONG = [1, *([40, 41, 42, 43, 44] * 14)]


@dataclass(frozen=True)
class Case:
    """One input. `sampler`: the tested parameter. `steps`: the number of tokens drawn, more than one for samplers that
    learn. `negative`: the logits after a negative prompt."""

    sampler: str
    params: dict[str, Any] = field(default_factory=dict)
    logits: str = "chat"
    text: tuple[int, ...] = tuple(PLAIN)
    steps: int = 1
    negative: str = ""
    seed: int = 11

    @property
    def name(self) -> str:
        """The name of the case in reports."""
        values = ", ".join(f"{name}={str(value)[:24]}" for name, value in self.params.items())
        return f"{self.sampler}: {values} on {self.logits} after {len(self.text)}, seed {self.seed}"

    def parsed(self) -> SamplingParams:
        """Return its parameters."""
        return SamplingParams(**{"dry_sequence_breakers": BREAKERS, **self.params})


def _over(shapes: tuple[str, ...], sampler: str, *values: Any, **also: Any) -> list[Case]:
    return [Case(sampler, {sampler: value, **also}, shape) for shape in shapes for value in values]


def _after(text: list[int], sampler: str, *values: Any, steps: int = 1, **also: Any) -> list[Case]:
    return [Case(sampler, {sampler: value, **also}, "chat", tuple(text), steps) for value in values]


_ALL = ("normal", "peaked", "tied", "chat")
_UNTIED = ("normal", "peaked", "chat")
_MOST = ", ".join(map(str, range(100, SIZE)))
_DYNAMIC = {"dynatemp_low": 0.4, "dynatemp_high": 1.8}

CUT_OFFS = [
    *_over(_ALL, "top_k", 1, 2, 5, 40, 1000),
    *_over(_ALL, "top_p", 0.0, 0.1, 0.513, 0.9, 0.99),
    # Not on a flat tail, where the sum in float32 is one token off.
    *_over(_UNTIED, "top_p", 0.999),
    *_over(_ALL, "min_p", 1.0, 0.5, 0.05, 0.001),
    *_over(_UNTIED, "typical_p", 0.05, 0.2, 0.5, 0.95),
    *_over(_ALL, "top_n_sigma", 0.3, 1.0, 3.0),
    *_over(_ALL, "tfs", 0.1, 0.5, 0.95),
    *_over(_ALL, "top_a", 0.05, 0.3, 1.0),
    *_over(_ALL, "epsilon_cutoff", 1.0, 9.0),
    *_over(_ALL, "eta_cutoff", 1.0, 20.0),
    *_over(_ALL, "xtc_probability", 1.0, xtc_threshold=0.1),
    *_over(("normal", "chat"), "xtc_probability", 1.0, xtc_threshold=0.02),
    *_over(("chat",), "xtc_probability", 1.0, xtc_threshold=0.5),
    # The line break and the end are among the top choices.
    *_over(("peaked",), "xtc_probability", 1.0, xtc_threshold=0.03),
    *_over(("peaked",), "xtc_probability", 1.0, xtc_threshold=0.015),
]
TEMPERATURES = [
    *_over(_ALL, "temperature", 0.0, 0.1, 0.7, 1.0, 2.0, 5.0),
    *_over(_ALL, "dynamic_temperature", True, **_DYNAMIC),
    *_over(_ALL, "dynamic_temperature", True, dynatemp_low=0.5, dynatemp_high=2.0, dynatemp_exponent=2.5),
    *_over(("chat",), "dynamic_temperature", True, dynatemp_low=2.0, dynatemp_high=0.5),
    *_over(("chat",), "dynamic_temperature", True, dynatemp_low=0.7, dynatemp_high=0.7),
    *_over(("chat",), "dynamic_temperature", True, **_DYNAMIC, temperature=0.0),
    *_over(("chat",), "dynamic_temperature", True, **_DYNAMIC, custom_token_bans=_MOST),
    *_over(("chat",), "dynamic_temperature", True, **_DYNAMIC, custom_token_bans=_MOST, min_p=0.01),
    *_over(_ALL, "smoothing_factor", 0.2, 1.5),
    *_over(_ALL, "smoothing_factor", 0.3, smoothing_curve=2.0),
    *_over(("chat",), "smoothing_factor", 0.3, smoothing_curve=4.0, temperature=0.7),
    Case("guidance_scale", {"guidance_scale": 1.5}, "chat", negative="normal"),
    Case("guidance_scale", {"guidance_scale": 0.5, "top_k": 20}, "peaked", negative="chat"),
    *_over(("chat", "peaked"), "do_sample", False, temperature=3.0, top_k=50, xtc_probability=1.0),
    *_after(LOOP, "do_sample", False, presence_penalty=2.0, frequency_penalty=2.0),
]
REPETITION = [
    *_after(LOOP, "repetition_penalty", 0.7, 1.0, 1.15, 2.0),
    *_after(LOOP, "repetition_penalty", 1.3, repetition_penalty_range=3),
    *_after(LOOP, "repetition_penalty", 1.2, steps=3),
    *_after(LOOP, "frequency_penalty", 0.7, -1.0),
    *_after(LOOP, "frequency_penalty", 0.7, repetition_penalty_range=6, steps=3),
    *_after(LOOP, "presence_penalty", 1.5, -0.5),
    *_after(LOOP, "presence_penalty", 1.5, temperature=0.0, frequency_penalty=1.0, repetition_penalty=1.5),
    *_after(LOOP, "encoder_repetition_penalty", 0.8),
    *_after(LOOP, "encoder_repetition_penalty", 1.3, steps=3),
    *_after(LOOP, "no_repeat_ngram_size", 1, 3),
    *_after(LOOP, "no_repeat_ngram_size", 2, steps=3),
    *_after(LOOP, "dry_multiplier", 0.8, 2.0),
    *_after(LOOP, "dry_multiplier", 0.8, dry_allowed_length=1, dry_base=1.2),
    *_after(LOOP, "dry_multiplier", 0.8, dry_allowed_length=3),
    *_after(LOOP, "dry_multiplier", 0.8, dry_allowed_length=1, repetition_penalty_range=9),
    *_after(LOOP, "dry_multiplier", 0.8, dry_allowed_length=1, steps=3),
    *_after(BROKEN, "dry_multiplier", 1.5, dry_allowed_length=1),
    *_after(LONG, "dry_multiplier", 0.05, dry_base=1.05),
]
LEARNING = [
    *_after(PLAIN, "mirostat_mode", 1, 2, steps=4, mirostat_tau=2.0, mirostat_eta=0.5),
    *_after(PLAIN, "mirostat_mode", 1, 2, steps=4, mirostat_tau=4.0, mirostat_eta=0.1, temperature=1.7),
    *_after(PLAIN, "mirostat_mode", 2, steps=3, mirostat_tau=3.0, top_k=1, min_p=0.5),
    *_after(LOOP, "mirostat_mode", 2, steps=3, mirostat_tau=3.0, repetition_penalty=1.5, dry_multiplier=0.8),
    *_after(PLAIN, "adaptive_target", 0.3, 0.8, steps=4),
    *_after(PLAIN, "adaptive_target", 0.3, steps=4, adaptive_decay=0.0, min_p=0.02),
    *_after(PLAIN, "adaptive_target", 0.3, steps=3, xtc_probability=1.0, temperature=1.5),
    *_after(PLAIN, "adaptive_target", 0.3, steps=3, temperature_last=True, temperature=1.5, min_p=0.05),
]
TOKENS_FORCED = [
    *_over(("chat", "peaked"), "custom_token_bans", "40, 700, 42"),
    *_over(("chat", "peaked"), "logit_bias", "40:-2.5, 45:9, 700:-100"),
    *_over(("chat",), "logit_bias", "40:3.5", custom_token_bans="40"),
    *_over(("peaked",), "ban_eos_token", True),
]
_MANY = {"temperature": 1.4, "top_k": 60, "top_p": 0.97, "min_p": 0.01}
COMBINED = [
    *_after(LOOP, "temperature", 1.4, repetition_penalty=1.1, presence_penalty=0.3, top_p=0.9),
    *_after(LOOP, "temperature", 0.6, dry_multiplier=0.8, min_p=0.05, top_k=100),
    *_over(("normal", "chat"), "temperature", 1.3, top_n_sigma=1.5, min_p=0.02),
    *_over(("normal", "chat"), "typical_p", 0.8, **_MANY),
    *_over(("normal", "chat"), "typical_p", 0.8, top_n_sigma=1.5),
    *_over(("peaked",), "typical_p", 0.5, ban_eos_token=True),
    *_over(("chat",), "typical_p", 0.8, top_n_sigma=1.5, min_p=0.05),
    *_over(("chat",), "typical_p", 0.8, custom_token_bans="40", min_p=0.05),
    *_over(("normal", "chat"), "tfs", 0.9, top_a=0.02, epsilon_cutoff=2.0, eta_cutoff=3.0, **_MANY),
    *_over(("normal", "chat"), "smoothing_factor", 0.25, **_MANY),
    *_over(("normal", "chat"), "dynamic_temperature", True, **_DYNAMIC, top_k=30),
    *_over(("chat",), "xtc_probability", 1.0, xtc_threshold=0.05, **_MANY),
    *_over(("normal", "chat"), "temperature_last", True, temperature=3.0, min_p=0.1, top_p=0.9),
    *_over(("chat",), "temperature_last", True, **_DYNAMIC, dynamic_temperature=True, top_k=8),
    *_over(("chat",), "sampler_priority", ["min_p", "temperature"], temperature=3.0, min_p=0.2),
    *_over(("chat",), "sampler_priority", ["top_k", "xtc", "top_p"], top_k=5, xtc_probability=1.0, top_p=0.8),
    *_over(("chat",), "sampler_priority", ["xtc"], xtc_probability=1.0, xtc_threshold=0.15, min_p=0.3),
]
CASES = [*CUT_OFFS, *TEMPERATURES, *REPETITION, *LEARNING, *TOKENS_FORCED, *COMBINED]

# Random draws from few enough tokens to count how often each is drawn.
DRAWN = [
    *_over(("chat",), "temperature", 2.0, top_k=12),
    *_over(("chat",), "xtc_probability", 0.4, xtc_threshold=0.05, top_k=12, temperature=2.0),
    *_over(("chat",), "adaptive_target", 0.3, top_k=12, temperature=2.0),
    *_over(("chat",), "mirostat_mode", 1, 2, mirostat_tau=2.0, temperature=2.0),
]


def with_seeds(case: Case, count: int) -> list[Case]:
    """Return the case with each of `count` seeds."""
    return [replace(case, seed=seed) for seed in range(1, count + 1)]
