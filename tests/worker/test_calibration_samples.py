"""Calibration text that gives too few tokens, and what to change then."""

from __future__ import annotations

import pytest

from modules.families.calibration import CalibrationSettings
from modules.protocol.errors import PaddockError
from modules.worker.calibration_samples import cut_samples


def _cut(texts: list[str], samples: int, length: int = 128) -> list[list[int]]:
    settings = CalibrationSettings(samples=samples, length=length)
    return cut_samples([{"text": text} for text in texts], settings, "", "", "", lambda text: map(ord, text))


def test_enough_text_is_cut_into_samples() -> None:
    assert [len(row) for row in _cut(["x" * 300] * 3, samples=7)] == [128, 128, 44, 128, 128, 44, 128]


@pytest.mark.parametrize(
    ("texts", "samples", "words"),
    [
        (["x" * 100] * 3, 8, r"The calibration text has 300 tokens.* Choose a longer text"),
        (["x" * 100] * 90, 4, r"^4 samples of the calibration text have 400 tokens.* Raise Samples"),
        (["x" * 900], 4, r"^4 samples of the calibration text have 400 tokens.* Raise Samples"),
    ],
    ids=["short", "few short samples", "few samples of a long text"],
)
def test_too_few_tokens_name_what_to_change(texts: list[str], samples: int, words: str) -> None:
    with pytest.raises(PaddockError, match=words):
        _cut(texts, samples, length=100)
