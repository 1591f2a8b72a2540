"""What a loader's spec says of parameters that it will not honour."""

from __future__ import annotations

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams

SPEC = LoaderSpec(
    name="one",
    title="One",
    summary="",
    formats=(),
    settings=object,
    claim=lambda facts, machine: None,
    samplers=frozenset({"mirostat_mode", "mirostat_tau", "top_k", "presence_penalty"}),
    unheard={"mirostat_mode": frozenset({"presence_penalty", "repetition_penalty"})},
)


def test_what_is_not_declared_is_named_where_it_is_not_neutral() -> None:
    assert SPEC.ignores(SamplingParams(top_k=5, presence_penalty=1.0)) == []
    assert SPEC.ignores(SamplingParams(top_k=5, min_p=0.1, seed=3)) == ["min_p"]
    assert SPEC.ignores(SamplingParams(top_k=5), unknown=["top_k"]) == ["top_k"]


def test_what_another_sampler_silences_is_named_once_both_are_asked_for() -> None:
    asked = SamplingParams(mirostat_mode=2, presence_penalty=1.0, top_k=5)
    assert SPEC.ignores(asked) == ["presence_penalty"]
    assert SPEC.ignores(SamplingParams(mirostat_mode=2)) == []
