"""Windows and numbers of an evaluation, by their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modules.jobs.divergence import Totals, add_window
from modules.jobs.job_spec import JobError
from modules.jobs.windows import EvaluateSettings, make_windows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 3), (8, 1), (16, 100), (50, 7)])
@pytest.mark.parametrize("count", [2, 7, 8, 9, 40, 41])
def test_sliding_scores_each_token_but_the_first_once(window: int, stride: int, count: int) -> None:
    tokens = list(range(count))
    windows = make_windows(tokens, EvaluateSettings(window=window, stride=stride), None)
    assert [token for entry in windows for token in entry.tokens[entry.first :]] == tokens[1:]
    assert all(len(entry.tokens) <= window for entry in windows)


def test_chunks_score_the_second_half_after_bos() -> None:
    windows = make_windows(list(range(100, 121)), EvaluateSettings(mode="chunks", window=10), 1)
    assert [entry.tokens for entry in windows] == [[1, *range(101, 110)], [1, *range(111, 120)]]
    assert [entry.first for entry in windows] == [6, 6]


def test_a_text_that_is_shorter_than_a_chunk_is_refused_with_a_window_that_fits() -> None:
    with pytest.raises(JobError, match="window=50"):
        make_windows(list(range(100)), EvaluateSettings(mode="chunks", window=512), None)


def _write(file: Path, logits: np.ndarray) -> Path:
    logits.astype(np.float32).tofile(file)
    return file


def test_perplexity_of_an_even_guess_is_the_size_of_the_vocabulary(tmp_path: Path) -> None:
    totals = Totals()
    add_window(totals, [3, 1, 0], 8, _write(tmp_path / "a", np.zeros((3, 8))), None)
    assert totals.perplexity() == pytest.approx(8)
    assert totals.describe()["kl"] is None


def test_divergence_is_zero_of_itself_and_as_defined_of_another(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    p, q = generator.normal(size=(70, 5)), generator.normal(size=(70, 5))
    targets = [int(token) for token in generator.integers(5, size=70)]
    ours, theirs = _write(tmp_path / "q", q), _write(tmp_path / "p", p)
    same, other = Totals(), Totals()
    add_window(same, targets, 5, theirs, theirs)
    add_window(other, targets, 5, ours, theirs)
    assert same.describe()["kl"] == pytest.approx(0)
    assert (same.describe()["top1_agreement"], same.describe()["moved_share"]) == (1, 0)
    soft_p = np.exp(p) / np.exp(p).sum(1, keepdims=True)
    soft_q = np.exp(q) / np.exp(q).sum(1, keepdims=True)
    expected = (soft_p * np.log(soft_p / soft_q)).sum(1).mean()
    assert other.describe()["kl"] == pytest.approx(expected, rel=1e-4)
    assert other.describe()["top1_agreement"] == pytest.approx((p.argmax(1) == q.argmax(1)).mean())


def test_logits_that_are_not_numbers_give_no_perplexity(tmp_path: Path) -> None:
    totals = Totals()
    add_window(totals, [0], 4, _write(tmp_path / "a", np.full((1, 4), np.nan)), None)
    assert totals.perplexity() is None
    assert totals.not_numbers == 1
