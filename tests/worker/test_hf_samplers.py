"""Compares every sampler with a simple reference. Runs in a Transformers loader's environment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="runs in the environment of a Transformers loader, which has torch")

import torch  # noqa: E402

from modules.protocol.errors import PromptError, SettingError  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.protocol.sampling_texts import DEFAULT_PRIORITY
from modules.worker.hf import samplers as pure  # noqa: E402
from modules.worker.hf.history_samplers import AdaptiveP, History, Mirostat, NoRepeat, dry  # noqa: E402
from modules.worker.hf.sampler_chain import SamplerChain, Vocabulary, order  # noqa: E402

# The samplers get the logits of these probabilities, shuffled, so that they cannot rely on the order.
P = [0.05, 0.40, 0.02, 0.25, 0.15, 0.08, 0.03, 0.02]
CPU = torch.device("cpu")


def logits(probabilities: list[float] = P) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def kept(result: torch.Tensor) -> set[int]:
    return set(torch.nonzero(torch.isfinite(result)).squeeze(1).tolist())


def entropy(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities)


def ranked(probabilities: list[float] = P) -> list[int]:
    return sorted(range(len(probabilities)), key=lambda token: (-probabilities[token], token))


def smallest_set(tokens: list[int], mass: float) -> set[int]:
    chosen: set[int] = set()
    for token in tokens:
        if sum(P[one] for one in chosen) >= mass:
            break
        chosen.add(token)
    return chosen


def test_kept_tokens_keep_their_logits() -> None:
    result = pure.top_k(logits(), 3)
    assert torch.equal(result[[1, 3, 4]], logits()[[1, 3, 4]])


@pytest.mark.parametrize("count", [1, 3, 100])
def test_top_k_keeps_the_likeliest(count: int) -> None:
    assert kept(pure.top_k(logits(), count)) == set(ranked()[:count])


@pytest.mark.parametrize("mass", [0.1, 0.41, 0.64, 0.81, 0.97, 0.999])
def test_top_p_keeps_the_smallest_set_that_reaches_the_mass(mass: float) -> None:
    assert kept(pure.top_p(logits(), mass)) == smallest_set(ranked(), mass)


def test_top_p_sorts_the_whole_vocabulary_if_the_likeliest_are_not_enough() -> None:
    flat = torch.zeros(5000)
    assert len(kept(pure.top_p(flat, 0.5))) == pytest.approx(2500, abs=2)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.21, 1.0])
def test_min_p_keeps_a_share_of_the_likeliest(share: float) -> None:
    assert kept(pure.min_p(logits(), share)) == {token for token, p in enumerate(P) if p >= share * 0.40}


@pytest.mark.parametrize("factor", [0.1, 0.4, 1.0])
def test_top_a_compares_with_the_square_of_the_highest_probability(factor: float) -> None:
    assert kept(pure.top_a(logits(), factor)) == {token for token, p in enumerate(P) if p >= factor * 0.16}


@pytest.mark.parametrize("mass", [0.2, 0.5, 0.9])
def test_typical_p_keeps_tokens_with_surprise_near_the_entropy(mass: float) -> None:
    usual = sorted(range(len(P)), key=lambda token: abs(-math.log(P[token]) - entropy(P)))
    assert kept(pure.typical_p(logits(), mass)) == smallest_set(usual, mass)


def test_epsilon_drops_below_a_probability_and_keeps_the_likeliest() -> None:
    assert kept(pure.epsilon_cutoff(logits(), 0.045)) == {0, 1, 3, 4, 5}
    assert kept(pure.epsilon_cutoff(logits(), 0.9)) == {1}


def test_eta_moves_with_the_entropy() -> None:
    least = min(0.05, math.sqrt(0.05) * math.exp(-entropy(P)))
    assert kept(pure.eta_cutoff(logits(), 0.05)) == {token for token, p in enumerate(P) if p >= least}
    assert least < 0.05


@pytest.mark.parametrize("mass", [0.1, 0.5, 0.8, 0.95])
def test_tail_free_cuts_where_the_curve_has_flattened(mass: float) -> None:
    line = sorted(P, reverse=True)
    slope = [line[at + 1] - line[at] for at in range(len(line) - 1)]
    bend = [abs(slope[at + 1] - slope[at]) for at in range(len(slope) - 1)]
    total, reached, count = sum(bend), 0.0, len(line) - 1
    for at, value in enumerate(bend):
        reached += value / total
        if reached > mass:
            count = at + 1
            break
    assert kept(pure.tail_free(logits(), mass)) == set(ranked()[:count])


def test_top_n_sigma_keeps_within_deviations_of_the_highest() -> None:
    values = [math.log(p) for p in P]
    mean = sum(values) / len(values)
    sigma = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    assert kept(pure.top_n_sigma(logits(), 1.0)) == {
        t for t, value in enumerate(values) if value >= max(values) - sigma
    }


def test_top_n_sigma_ignores_tokens_that_are_cut() -> None:
    cut = torch.cat([logits(), torch.full((4,), float("-inf"))])
    assert kept(pure.top_n_sigma(cut, 1.0)) == kept(pure.top_n_sigma(logits(), 1.0))


def test_temperature_divides() -> None:
    assert torch.allclose(pure.temperature(logits(), 0.5), logits() * 2)


def test_dynamic_temperature_rises_with_the_entropy() -> None:
    t = 0.5 + (2.0 - 0.5) * (entropy(P) / math.log(len(P))) ** 1.5
    assert torch.allclose(pure.dynamic_temperature(logits(), 0.5, 2.0, 1.5), logits() / t)
    assert torch.allclose(pure.dynamic_temperature(torch.zeros(8), 0.5, 2.0, 1.0), torch.zeros(8))
    one = torch.tensor([0.0, float("-inf")])
    assert torch.equal(pure.dynamic_temperature(one, 0.5, 2.0, 1.0), one)


def test_smoothing_is_a_parabola_and_a_cubic_below_the_top() -> None:
    x = logits() - logits().max()
    assert torch.allclose(pure.quadratic(logits(), 0.3, 1.0), logits().max() - 0.3 * x**2)
    expected = logits().max() - 0.3 * (3 - 2) / 2 * x**2 + 0.3 * (2 - 1) / 2 * x**3
    assert torch.allclose(pure.quadratic(logits(), 0.3, 2.0), expected)


def test_smoothing_keeps_cut_tokens_cut() -> None:
    assert kept(pure.quadratic(pure.top_k(logits(), 2), 0.3, 2.0)) == {1, 3}


def test_xtc_leaves_the_least_likely_of_the_top_choices() -> None:
    nothing = torch.tensor([], dtype=torch.long)
    assert kept(pure.xtc(logits(), 0.1, nothing)) == set(range(8)) - {1, 3}
    assert kept(pure.xtc(logits(), 0.3, nothing)) == set(range(8))


def test_xtc_never_removes_the_end_or_a_line_break() -> None:
    assert kept(pure.xtc(logits(), 0.1, torch.tensor([3]))) == set(range(8))
    assert kept(pure.xtc(logits(), 0.1, torch.tensor([4]))) == set(range(8)) - {1, 3}


def test_repetition_penalty_lowers_either_sign() -> None:
    result = pure.repetition_penalty(torch.tensor([2.0, -2.0, 2.0]), torch.tensor([True, True, False]), 2.0)
    assert result.tolist() == [1.0, -4.0, 2.0]


def test_encoder_repetition_penalty_raises_either_sign() -> None:
    result = pure.encoder_repetition_penalty(torch.tensor([2.0, -2.0, 2.0]), torch.tensor([True, True, False]), 2.0)
    assert result.tolist() == [4.0, -1.0, 2.0]


def test_frequency_counts_and_presence_does_not() -> None:
    counts = torch.tensor([0.0, 1.0, 3.0])
    assert pure.frequency_penalty(torch.zeros(3), counts, 0.5).tolist() == [0.0, -0.5, -1.5]
    assert pure.presence_penalty(torch.zeros(3), counts, 0.5).tolist() == [0.0, -0.5, -0.5]


def test_guidance_moves_away_from_the_negative() -> None:
    positive, negative = logits(), logits(P[::-1])
    result = pure.guidance(positive + 7, negative - 3, 1.5)
    assert torch.allclose(result, negative + 1.5 * (positive - negative), atol=1e-5)
    assert torch.allclose(pure.guidance(positive, negative, 1.0), positive, atol=1e-6)


def test_history_counts_tokens_within_reach() -> None:
    history = History([1, 1, 2], 4, CPU, reach=3)
    assert history.counts.tolist() == [0, 2, 1, 0]
    history.add(3)
    assert history.counts.tolist() == [0, 1, 1, 1]
    assert history.recent() == [1, 2, 3]
    assert history.prompted.tolist() == [False, True, True, False]
    assert History([1, 1, 2], 4, CPU).counts.tolist() == [0, 2, 1, 0]


def test_dry_penalizes_by_the_length_of_the_repeat() -> None:
    # "5 6 7 8" occurred before, and the text ends with "5 6 7". 8 would extend the repeat.
    result = dry(torch.zeros(10), [5, 6, 7, 8, 1, 5, 6, 7], 0.8, 1.75, 2, set())
    assert result[8] == pytest.approx(-0.8 * 1.75 ** (3 - 2))
    assert torch.count_nonzero(result) == 1


def test_dry_uses_the_longest_repeat_and_ignores_short_ones() -> None:
    tokens = [5, 6, 7, 9, 7, 8, 5, 6, 7]
    result = dry(torch.zeros(10), tokens, 1.0, 2.0, 2, set())
    assert result[9] == pytest.approx(-2.0)
    assert result[8] == 0


def test_dry_repeats_end_at_a_breaker() -> None:
    tokens = [5, 6, 7, 8, 1, 5, 6, 7]
    assert dry(torch.zeros(10), tokens, 0.8, 1.75, 2, {6}).count_nonzero() == 0
    assert dry(torch.zeros(10), tokens, 0.8, 1.75, 2, {7}).count_nonzero() == 0
    assert dry(torch.zeros(10), tokens, 0.8, 1.75, 2, {5})[8] == pytest.approx(-0.8)
    assert dry(torch.zeros(10), tokens, 0.8, 1.75, 2, {8}).count_nonzero() == 0


def test_dry_does_not_change_its_input() -> None:
    given = torch.zeros(10)
    dry(given, [5, 6, 5, 6], 0.8, 1.75, 1, set())
    assert given.count_nonzero() == 0


def test_no_ngram_occurs_twice() -> None:
    memory = NoRepeat(3)
    assert kept(memory(torch.zeros(6), [1, 2, 3, 1, 2])) == {0, 1, 2, 4, 5}
    assert kept(memory(torch.zeros(6), [1, 2, 3, 1, 2, 4, 1, 2])) == {0, 1, 2, 5}
    assert kept(NoRepeat(1)(torch.zeros(4), [1, 3])) == {0, 2}
    assert kept(NoRepeat(3)(torch.zeros(4), [1])) == {0, 1, 2, 3}


def test_mirostat_2_cuts_tokens_more_surprising_than_mu_and_learns() -> None:
    state = Mirostat(2, tau=1.0, eta=0.5)
    assert kept(state(logits())) == {token for token, p in enumerate(P) if -math.log2(p) <= 2.0}
    state.chosen(3)
    surprise = -math.log2(0.25 / 0.65)
    assert state.mu == pytest.approx(2.0 - 0.5 * (surprise - 1.0), abs=1e-5)


def test_mirostat_1_takes_the_k_that_zipfs_law_gives() -> None:
    state = Mirostat(1, tau=1.5, eta=0.1)
    line = sorted(P, reverse=True)
    t = [math.log((at + 2) / (at + 1)) for at in range(len(P) - 1)]
    b = [math.log(line[at] / line[at + 1]) for at in range(len(P) - 1)]
    s = sum(x * y for x, y in zip(t, b, strict=True)) / sum(x * x for x in t)
    k = int(((s - 1) * 2**3.0 / (1 - len(P) ** -(s - 1))) ** (1 / s))
    assert 1 < k < len(P)
    assert kept(state(logits())) == set(ranked()[:k])
    state.chosen(1)
    surprise = -math.log2(0.40 / sum(line[:k]))
    assert state.mu == pytest.approx(3.0 - 0.1 * (surprise - 1.5), abs=1e-5)


def test_adaptive_p_peaks_at_its_aim_and_moves_it() -> None:
    state = AdaptiveP(target=0.3, decay=0.5)

    def shaped(p: float, aim: float) -> float:
        distance = abs(p - aim) / 0.3
        return 5 - 10 * distance**2 / (1 + distance)

    assert torch.allclose(state(logits()), torch.tensor([shaped(p, 0.3) for p in P]), atol=1e-5)
    state.chosen(1)
    mean = (0.40 + 0.5 * 0.3 / 0.5) / (1 + 0.5 / 0.5)
    aim = 2 * 0.3 - mean
    assert torch.allclose(state(logits()), torch.tensor([shaped(p, aim) for p in P]), atol=1e-5)


def test_adaptive_p_keeps_cut_tokens_cut() -> None:
    assert kept(AdaptiveP(0.3, 0.9)(pure.top_k(logits(), 2))) == {1, 3}


VOCABULARY = Vocabulary(size=8, ends=(7,), newline=6, last_token=lambda text: ord(text[-1]) % 8)


def chain(prompt: list[int] | None = None, seed: int = 1, **params: Any) -> SamplerChain:
    values = SamplingParams(**params)
    history = History(prompt or [0], 8, CPU, values.repetition_penalty_range)
    return SamplerChain(values, VOCABULARY, history, seed)


def test_neutral_parameters_make_no_step() -> None:
    assert chain().neutral
    assert chain(do_sample=False).neutral
    assert chain(temperature=0).neutral


def test_neutral_sampling_draws_from_the_models_distribution() -> None:
    sampler = chain()
    draws = [sampler.choose(logits()) for _ in range(20_000)]
    shares = [draws.count(token) / len(draws) for token in range(8)]
    assert shares == pytest.approx(P, abs=0.012)


def test_the_same_seed_gives_the_same_tokens() -> None:
    def draws(seed: int) -> list[int | None]:
        sampler = chain(seed=seed)
        return [sampler.choose(logits()) for _ in range(20)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


ACTIVE: list[tuple[dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
    ({"temperature": 0.7}, lambda x: pure.temperature(x, 0.7)),
    (
        {"dynamic_temperature": True, "dynatemp_low": 0.5, "dynatemp_high": 1.5},
        lambda x: pure.dynamic_temperature(x, 0.5, 1.5, 1),
    ),
    ({"smoothing_factor": 0.3, "smoothing_curve": 1.5}, lambda x: pure.quadratic(x, 0.3, 1.5)),
    ({"top_p": 0.8}, lambda x: pure.top_p(x, 0.8)),
    ({"min_p": 0.1}, lambda x: pure.min_p(x, 0.1)),
    ({"top_k": 3}, lambda x: pure.top_k(x, 3)),
    ({"typical_p": 0.6}, lambda x: pure.typical_p(x, 0.6)),
    ({"top_n_sigma": 1.0}, lambda x: pure.top_n_sigma(x, 1.0)),
    ({"tfs": 0.8}, lambda x: pure.tail_free(x, 0.8)),
    ({"top_a": 0.3}, lambda x: pure.top_a(x, 0.3)),
    ({"epsilon_cutoff": 9.0}, lambda x: pure.epsilon_cutoff(x, 9e-4)),
    ({"eta_cutoff": 20.0}, lambda x: pure.eta_cutoff(x, 20e-4)),
    ({"adaptive_target": 0.3}, lambda x: AdaptiveP(0.3, 0.9)(x)),
    ({"mirostat_mode": 2, "mirostat_tau": 1.0}, lambda x: Mirostat(2, 1.0, 0.1)(x)),
    ({"mirostat_mode": 2, "mirostat_tau": 1.0, "top_k": 1}, lambda x: Mirostat(2, 1.0, 0.1)(x)),
    ({"xtc_probability": 1.0}, lambda x: pure.xtc(x, 0.1, torch.tensor([7, 6]))),
    ({"repetition_penalty": 1.3}, lambda x: pure.repetition_penalty(x, History([1, 1, 2], 8, CPU).counts > 0, 1.3)),
    ({"frequency_penalty": 0.5}, lambda x: pure.frequency_penalty(x, History([1, 1, 2], 8, CPU).counts, 0.5)),
    ({"presence_penalty": 0.5}, lambda x: pure.presence_penalty(x, History([1, 1, 2], 8, CPU).counts, 0.5)),
    (
        {"frequency_penalty": 0.5, "repetition_penalty_range": 2},
        lambda x: x - torch.tensor([0, 0.5, 0.5, 0, 0, 0, 0, 0]),
    ),
    (
        {"encoder_repetition_penalty": 1.2},
        lambda x: pure.repetition_penalty(x, History([1, 2], 8, CPU).prompted, 1 / 1.2),
    ),
    ({"no_repeat_ngram_size": 1}, lambda x: x.index_fill(0, torch.tensor([1, 2]), float("-inf"))),
    ({"dry_multiplier": 1.0, "dry_allowed_length": 1}, lambda x: x),
    ({"custom_token_bans": "1, 3"}, lambda x: x.index_fill(0, torch.tensor([1, 3]), float("-inf"))),
    ({"logit_bias": "1:-2.5"}, lambda x: x - torch.tensor([0, 2.5, 0, 0, 0, 0, 0, 0])),
    ({"ban_eos_token": True}, lambda x: x.index_fill(0, torch.tensor([7]), float("-inf"))),
]


@pytest.mark.parametrize(
    ("params", "expected"), ACTIVE, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_each_parameter_reaches_its_sampler(
    params: dict[str, Any], expected: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    sampler = chain([1, 1, 2], **params)
    assert not sampler.neutral
    assert torch.allclose(sampler.shape(logits()), expected(logits()), atol=1e-5)


def test_dry_reaches_its_sampler_with_its_breakers() -> None:
    tokens = [5, 6, 7, 0, 1, 5, 6, 7]
    params: dict[str, Any] = {"dry_multiplier": 0.8, "dry_sequence_breakers": ["\x04"]}
    assert chain(tokens, **params).shape(torch.zeros(8))[0] == pytest.approx(-0.8 * 1.75)
    params = {"dry_multiplier": 0.8, "dry_sequence_breakers": ["\x06"]}
    assert chain(tokens, **params).shape(torch.zeros(8))[0] == 0


def test_greedy_applies_penalties_and_bans_but_no_cut_offs() -> None:
    assert chain(do_sample=False).choose(logits()) == 1
    assert chain(do_sample=False, custom_token_bans="1").choose(logits()) == 3
    assert chain(do_sample=False, xtc_probability=1.0, temperature=2.0).choose(logits()) == 1
    assert chain([1], temperature=0, presence_penalty=1.0, min_p=1.0).choose(logits()) == 3
    assert chain([1], do_sample=False, presence_penalty=1.0).choose(logits()) == 1


def test_penalties_count_chosen_tokens() -> None:
    sampler = chain([0], temperature=0, presence_penalty=1.0)
    assert [sampler.choose(logits()) for _ in range(3)] == [1, 3, 4]


def test_the_users_order_is_applied() -> None:
    usual = chain(temperature=2.0, min_p=0.3).shape(logits())
    cut_first = chain(temperature=2.0, min_p=0.3, sampler_priority=["min_p", "temperature"]).shape(logits())
    last = chain(temperature=2.0, min_p=0.3, temperature_last=True).shape(logits())
    assert kept(usual) == {token for token, p in enumerate(P) if math.sqrt(p / 0.4) >= 0.3}
    assert kept(cut_first) == kept(last) == {token for token, p in enumerate(P) if p / 0.4 >= 0.3}


def test_the_order_names_every_sampler_once() -> None:
    assert order(SamplingParams()) == list(DEFAULT_PRIORITY)
    named = order(SamplingParams(sampler_priority=["xtc", "top_k", "xtc"]))
    assert named[:2] == ["xtc", "top_k"]
    assert sorted(named) == sorted(DEFAULT_PRIORITY)
    assert order(SamplingParams(temperature_last=True))[-5:] == [
        "temperature",
        "dynamic_temperature",
        "quadratic_sampling",
        "adaptive_p",
        "mirostat",
    ]
    assert order(SamplingParams(sampler_priority=["adaptive_p", "xtc"]))[-2:] == ["adaptive_p", "mirostat"]


def test_an_unknown_sampler_in_the_order_is_refused_with_the_valid_names() -> None:
    with pytest.raises(SettingError, match="'top_q'.*top_p"):
        chain(sampler_priority=["top_q"])


@pytest.mark.parametrize("params", [{"custom_token_bans": "8"}, {"logit_bias": "-1:2"}, {"logit_bias": "x"}])
def test_a_token_that_does_not_exist_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(PromptError):
        chain(**params)


@pytest.mark.parametrize("params", [{}, {"do_sample": False}])
def test_without_an_allowed_token_none_is_chosen(params: dict[str, Any]) -> None:
    assert chain(custom_token_bans="0,1,2,3,4,5,6,7", **params).choose(logits()) is None
