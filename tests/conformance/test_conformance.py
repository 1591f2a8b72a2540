"""Compares the remaining tokens and their probabilities for fixed logits with the reference, for each declared sampler.

Each loader that can run here is probed in its own environment. Its result must equal the reference or, if the loader's
spec names a difference, the reference with that difference.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.loader_registry import Registry
from tests.conformance.cases import CASES
from tests.conformance.engines import NOT_NUMBERS, PARTS, Engine, cases, samplers
from tests.conformance.probing import difference
from tests.conformance.reference import Departures
from tests.conformance.table import PAGE, definition, page

ROOT = Path(__file__).resolve().parent.parent.parent
_SPECS = Registry(ROOT / "loaders").shown()


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_cases_cover_every_declared_sampler(spec: LoaderSpec) -> None:
    tried = {name for case in cases(spec) for name in (case.sampler, *case.params)}
    assert spec.samplers - NOT_NUMBERS <= tried | {"dry_sequence_breakers", "negative_prompt"}
    assert {case.sampler for case in cases(spec)} == spec.samplers - NOT_NUMBERS - PARTS.keys()


def test_remaining_tokens_equal_the_reference(spec: LoaderSpec, engine: Engine, found: dict[str, Any]) -> None:
    wrong = {
        case.name: reason
        for case in cases(spec)
        if engine.is_predictable(case)
        and (reason := difference(case, found[case.name], engine.departures, engine.tolerance))
    }
    assert not wrong, "\n".join(f"{name}: {reason}" for name, reason in wrong.items())


def test_the_spec_lists_every_difference_from_the_definitions(
    spec: LoaderSpec, engine: Engine, found: dict[str, Any]
) -> None:
    departing = {
        case.sampler for case in cases(spec) if difference(case, found[case.name], Departures(), engine.tolerance)
    }
    # Schemas have no definition to compare with; the contract tests try them.
    assert departing == set(spec.differs) - {"json_schema"}


@pytest.mark.parametrize("entry", _SPECS, ids=lambda spec: spec.name)
def test_a_spec_explains_only_declared_samplers(entry: LoaderSpec) -> None:
    assert set(entry.differs) <= entry.samplers & set(samplers())
    assert all(sentence.endswith(".") for sentence in entry.differs.values())
    assert set(entry.unheard) | {name for others in entry.unheard.values() for name in others} <= entry.samplers


def test_samplers_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python3 -m tests.conformance.table"


SOURCE = (
    r"arXiv \d{4}\.\d{5}|pull requests? \d+|API reference|Ackley.* 1985|Phillips 2019|README|json-schema\.org"
    "|Transformers'"
)
OURS = {"do_sample", "temperature_last", "sampler_priority", "custom_token_bans", "ban_eos_token"}


def test_the_page_defines_every_sampler_with_its_source() -> None:
    for name in samplers():
        assert name in OURS or re.search(SOURCE, definition(name)), name
