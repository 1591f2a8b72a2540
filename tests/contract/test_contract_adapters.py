"""What every loader promises that declares LoRA adapters: they count, they add up, and they go without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.protocol.commands import ApplyAdapter
from modules.protocol.errors import ModelError, Unsupported
from tests.contract.under_test import QUESTION, UnderTest
from tests.support.lora import demo_adapters

# Those that apply one adapter, with weight 1, and say so.
_ONE_ALONE = ("vllm",)
pytestmark = [pytest.mark.contract, pytest.mark.adapters]


@pytest.fixture
def bare(engine: UnderTest) -> Iterator[UnderTest]:
    """The worker without adapters, before and after."""
    yield engine
    engine.ask(ApplyAdapter, {})


def _path(engine: UnderTest, name: str) -> str:
    folder: Path = demo_adapters() / name
    return str(folder if "peft" in engine.spec.adapters else folder.with_suffix(".gguf"))


def _with(engine: UnderTest, **weights: float) -> str:
    """The greedy answer under these adapters."""
    engine.ask(ApplyAdapter, {_path(engine, name): weight for name, weight in weights.items()})
    return engine.greedy(engine.chat(QUESTION))


def test_an_adapter_changes_the_text_and_its_removal_restores_it(bare: UnderTest) -> None:
    base = _with(bare)
    changed = _with(bare, a=1.0)
    assert changed != base
    assert _with(bare, a=1.0) == changed
    assert _with(bare) == base


def test_an_adapter_of_weight_zero_is_none(bare: UnderTest) -> None:
    base = _with(bare)
    assert _with(bare, a=0.0) == base


def test_the_weight_counts(bare: UnderTest) -> None:
    if bare.spec.name in _ONE_ALONE:
        with pytest.raises(Unsupported, match="one adapter, with weight 1"):
            _with(bare, a=2.0)
        return
    texts = {_with(bare, a=weight) for weight in (-1.0, 0.0, 1.0, 2.0)}
    assert len(texts) > 2


def test_two_adapters_are_added_up_in_any_order(bare: UnderTest) -> None:
    if bare.spec.name in _ONE_ALONE:
        with pytest.raises(Unsupported, match="one adapter, with weight 1"):
            _with(bare, a=1.0, b=1.0)
        return
    first, second, both = _with(bare, a=1.0), _with(bare, b=1.0), _with(bare, a=1.0, b=1.0)
    assert len({first, second, both}) == 3
    assert _with(bare, b=1.0) == second
    assert _with(bare, a=1.0, b=0.0) == first


def test_an_adapter_for_another_model_is_refused_and_those_in_use_stay(bare: UnderTest) -> None:
    before = _with(bare, a=1.0)
    beside = {} if bare.spec.name in _ONE_ALONE else {"b": 1.0}
    with pytest.raises(ModelError) as refused:
        _with(bare, **beside, other=1.0)
    assert "other" in refused.value.message
    assert refused.value.message.endswith(".")
    assert bare.greedy(bare.chat(QUESTION)) == before


def test_a_file_cut_short_is_refused_and_the_model_goes_on(bare: UnderTest, tmp_path: Path) -> None:
    base = _with(bare)
    whole = Path(_path(bare, "a"))
    broken = tmp_path / whole.name
    if whole.is_dir():
        broken.mkdir()
        (broken / "adapter_config.json").write_bytes((whole / "adapter_config.json").read_bytes())
        whole, cut = whole / "adapter_model.safetensors", broken / "adapter_model.safetensors"
    else:
        cut = broken
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ModelError):
        bare.ask(ApplyAdapter, {str(broken): 1.0})
    assert bare.greedy(bare.chat(QUESTION)) == base
