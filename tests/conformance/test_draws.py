"""Random draws have the frequencies of the reference."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import DRAWN, TOKENS, Case, logits, with_seeds
from tests.conformance.engines import Engine
from tests.conformance.reference import Reference
from tests.conformance.reference_cuts import Floats


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_token_frequencies_match_the_reference(case: Case, engine: Engine, found: dict[str, Any]) -> None:
    drawn = Counter(found[one.name][0]["token"] for one in with_seeds(case, engine.draws))
    expected = chances(case, engine) * engine.draws
    assert all(expected[token] > 0 for token in drawn)
    # Tokens with an expected count below five are counted together.
    often = np.flatnonzero(expected >= 5)
    pairs = [(drawn[int(token)], expected[token]) for token in often]
    rest = engine.draws - sum(count for count, _ in pairs)
    pairs.append((rest, max(engine.draws - sum(mean for _, mean in pairs), 1.0)))
    chi_square = sum((count - mean) ** 2 / mean for count, mean in pairs)
    freedom = len(pairs) - 1
    # Four standard deviations above the mean. The seeds are fixed, so the result is always the same.
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom), pairs


def test_different_seeds_draw_different_tokens(engine: Engine, found: dict[str, Any]) -> None:
    plain = DRAWN[0]
    assert len({found[one.name][0]["token"] for one in with_seeds(plain, engine.draws)}) > 3


def chances(case: Case, engine: Engine) -> Floats:
    """Return the probabilities [vocabulary]; with XTC, their mean over its random choice."""
    given = logits()[case.logits]
    p = Reference(case.parsed(), TOKENS, list(case.text), engine.departures).probabilities(given)
    acts = case.params.get("xtc_probability")
    if acts is None:
        return p
    without = replace(case.parsed(), xtc_probability=0.0)
    idle = Reference(without, TOKENS, list(case.text), engine.departures).probabilities(given)
    return np.asarray(acts * p + (1 - acts) * idle)
