"""GPTQ with one group per row: the loader with a fast CPU kernel for it comes first."""

from __future__ import annotations

from pathlib import Path

from modules.protocol.model_facts import Machine, ModelFacts
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT


def test_autogptq_comes_first_for_row_groups(tmp_path: Path) -> None:
    registry, machine = Registry(ROOT / "loaders"), Machine("linux", "x86_64", 2, 2**34, 2**34)
    scores = {}
    for group in (128, -1):
        facts = ModelFacts("m", str(tmp_path), format="gptq", bits=4, group_size=group)
        claims = {name: registry.get(name).claim(facts, machine) for name in ("gptqmodel", "autogptq")}
        scores[group] = {name: claim.score for name, claim in claims.items() if claim}
    assert scores[128]["gptqmodel"] > scores[128]["autogptq"]
    assert scores[-1]["gptqmodel"] < scores[-1]["autogptq"]
