"""llama.cpp and Transformers make the same vectors of the demo model, up to the rounding of its GGUF file."""

from __future__ import annotations

import math

import pytest

from modules.protocol.commands import Embed
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.contract.under_test import ROOT, UnderTest, demo_model
from tests.support.environments import installed, not_here

TEXTS = ["How do I load a model?", "GGUF is a format for files of weights.", "Grüße, 你好 🙂", "a"]
LOADERS = ("transformers", "xllamacpp", "llamacpp")


def _vectors(name: str, environments: Environments) -> list[list[float]] | None:
    spec = Registry(ROOT / "loaders").get(name)
    if not_here(spec, environments):
        return None
    worker = UnderTest(spec, installed(spec, environments))
    try:
        worker.load(demo_model(spec))
        found: list[list[float]] = worker.ask(Embed, TEXTS)["vectors"]
        return found
    finally:
        worker.client.stop()


def test_vectors_of_all_engines_point_the_same_way(environments: Environments) -> None:
    found = {name: vectors for name in LOADERS if (vectors := _vectors(name, environments))}
    if len(found) < 2:
        pytest.skip(f"Only {', '.join(found) or 'no loader'} of {', '.join(LOADERS)} runs here.")
    first, *others = found.values()
    for vectors in others:
        for left, right in zip(first, vectors, strict=True):
            assert math.fsum(a * b for a, b in zip(left, right, strict=True)) > 0.99
