"""Fixed logits in, the tokens that are left and their probabilities out, for each loader and sampler that it declares.

Each loader that can run here is asked in its own environment. The answer must be the reference's where the loader's
spec names no difference, and otherwise the reference's with that difference.
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


def test_no_two_cases_are_one() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_sampler_that_it_declares_is_tried(spec: LoaderSpec) -> None:
    tried = {name for case in cases(spec) for name in (case.sampler, *case.params)}
    assert spec.samplers - NOT_NUMBERS <= tried | {"dry_sequence_breakers", "negative_prompt"}
    assert {case.sampler for case in cases(spec)} == spec.samplers - NOT_NUMBERS - PARTS.keys()


def test_what_is_left_is_the_references(spec: LoaderSpec, engine: Engine, found: dict[str, Any]) -> None:
    wrong = {
        case.name: reason
        for case in cases(spec)
        if engine.tells(case) and (reason := difference(case, found[case.name], engine.departures, engine.close))
    }
    assert not wrong, "\n".join(f"{name}: {reason}" for name, reason in wrong.items())


def test_it_departs_from_the_definitions_where_its_spec_says_so(
    spec: LoaderSpec, engine: Engine, found: dict[str, Any]
) -> None:
    departing = {case.sampler for case in cases(spec) if difference(case, found[case.name], Departures(), engine.close)}
    assert departing == set(spec.differs)


@pytest.mark.parametrize("entry", _SPECS, ids=lambda spec: spec.name)
def test_a_spec_explains_only_what_it_declares(entry: LoaderSpec) -> None:
    assert set(entry.differs) <= entry.samplers & set(samplers())
    assert all(sentence.endswith(".") for sentence in entry.differs.values())
    assert set(entry.unheard) | {name for others in entry.unheard.values() for name in others} <= entry.samplers


def test_the_page_is_as_the_code_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python3 -m tests.conformance.table"


SOURCE = r"arXiv \d{4}\.\d{5}|pull requests? \d+|API reference|Ackley.* 1985|Phillips 2019|README|Transformers'"
OURS = {"do_sample", "temperature_last", "sampler_priority", "custom_token_bans", "ban_eos_token"}


def test_the_page_defines_every_sampler_with_its_source() -> None:
    for name in samplers():
        assert name in OURS or re.search(SOURCE, definition(name)), name
