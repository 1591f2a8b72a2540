"""What the vllm loader does for evaluation, and where it keeps what it compiles; without the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loaders.vllm.scoring import check_scoring, prompt_rows, score_tokens
from modules.protocol.errors import PaddockError, PromptError


def _logits(rows: int) -> Any:
    return np.random.default_rng(rows).normal(size=(rows, 50)).astype(np.float32)


def _own(logits: Any, tokens: list[int]) -> list[float]:
    """Return the log-probability of each token in its row."""
    chances = np.exp(logits.astype(np.float64))
    return [float(np.log(row[token] / row.sum())) for row, token in zip(chances, tokens, strict=True)]


def test_the_rows_of_a_prompt_are_found_among_those_for_sampling() -> None:
    tokens = [3, 1, 4, 1, 5, 9, 2, 6]
    rows = _logits(7)
    own = _own(rows, tokens[1:])
    # In two parts, with rows for sampling between them, and one that predicts the reply at the end.
    after = np.concatenate([rows[4:], _logits(1)])
    for kept in ([_logits(1), rows[:4], rows[3:4] + 1, after], [rows], [rows[:4], _logits(5), rows[4:]]):
        assert np.array_equal(prompt_rows(kept, tokens, own), rows)
    for kept in ([], [rows[:4]], [rows[4:], rows[:4]], [rows + np.arange(50, dtype=np.float32)]):
        with pytest.raises(PaddockError, match="another loader"):
            prompt_rows(kept, tokens, own)


def test_logits_that_are_not_numbers_are_passed_on() -> None:
    rows = _logits(3)
    rows[1] = np.nan
    own = _own(rows, [1, 2, 3])
    assert np.array_equal(prompt_rows([rows], [0, 1, 2, 3], own), rows, equal_nan=True)


def test_a_text_that_is_too_long_is_refused() -> None:
    check_scoring(2047, 2048)
    with pytest.raises(PromptError, match="window=2047"):
        check_scoring(2048, 2048)


def test_a_model_in_several_processes_gives_the_probability_of_each_token() -> None:
    chances = [None, {7: SimpleNamespace(logprob=-1.0), 9: SimpleNamespace(logprob=-0.1)}]
    chances.append({8: SimpleNamespace(logprob=-2.0)})
    outputs = iter([SimpleNamespace(prompt_logprobs=chances), SimpleNamespace(prompt_logprobs=None)])
    answer = score_tokens(outputs, [5, 7, 8], 2)
    assert (answer["rows"], answer["vocabulary"], answer["log_probabilities"]) == (1, 0, [-2.0])
