"""What is drawn by chance comes as often as the reference says."""

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
def test_tokens_come_as_often_as_they_should(case: Case, engine: Engine, found: dict[str, Any]) -> None:
    drawn = Counter(found[one.name][0]["token"] for one in with_seeds(case, engine.draws))
    expected = chances(case, engine) * engine.draws
    assert all(expected[token] > 0 for token in drawn)
    # Those that should come less than five times are counted together.
    often = np.flatnonzero(expected >= 5)
    pairs = [(drawn[int(token)], expected[token]) for token in often]
    rest = engine.draws - sum(count for count, _ in pairs)
    pairs.append((rest, max(engine.draws - sum(mean for _, mean in pairs), 1.0)))
    chi_square = sum((count - mean) ** 2 / mean for count, mean in pairs)
    freedom = len(pairs) - 1
    # Four standard deviations above its mean; the seeds are fixed, so this is no matter of luck.
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom), pairs


def test_a_seed_is_a_choice(engine: Engine, found: dict[str, Any]) -> None:
    plain = DRAWN[0]
    assert len({found[one.name][0]["token"] for one in with_seeds(plain, engine.draws)}) > 3


def chances(case: Case, engine: Engine) -> Floats:
    """[vocabulary]; with XTC, the mean over its dice."""
    given = logits()[case.logits]
    p = Reference(case.parsed(), TOKENS, list(case.text), engine.departures).probabilities(given)
    acts = case.params.get("xtc_probability")
    if acts is None:
        return p
    without = replace(case.parsed(), xtc_probability=0.0)
    idle = Reference(without, TOKENS, list(case.text), engine.departures).probabilities(given)
    return np.asarray(acts * p + (1 - acts) * idle)
