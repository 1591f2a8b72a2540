"""LoRA adapters take effect, add up, and can be removed completely, in every loader that declares them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.protocol.commands import ApplyAdapter
from modules.protocol.errors import ModelError, Unsupported
from tests.contract.under_test import QUESTION, UnderTest
from tests.support.lora import demo_adapters

# Loaders that support only one adapter with weight 1, as their errors say.
_SINGLE_ADAPTER = ("vllm",)
pytestmark = [pytest.mark.contract, pytest.mark.adapters]


@pytest.fixture
def bare(engine: UnderTest) -> Iterator[UnderTest]:
    """Return the worker without adapters, and remove adapters after the test."""
    yield engine
    engine.ask(ApplyAdapter, {})


def _path(engine: UnderTest, name: str) -> str:
    folder: Path = demo_adapters() / name
    return str(folder if "peft" in engine.spec.adapters else folder.with_suffix(".gguf"))


def _with(engine: UnderTest, **weights: float) -> str:
    """Return the greedy answer with these adapters."""
    engine.ask(ApplyAdapter, {_path(engine, name): weight for name, weight in weights.items()})
    return engine.greedy(engine.chat(QUESTION))


def test_an_adapter_changes_the_text_and_its_removal_restores_it(bare: UnderTest) -> None:
    base = _with(bare)
    changed = _with(bare, a=1.0)
    assert changed != base
    assert _with(bare, a=1.0) == changed
    assert _with(bare) == base


def test_an_adapter_with_weight_zero_has_no_effect(bare: UnderTest) -> None:
    base = _with(bare)
    assert _with(bare, a=0.0) == base


def test_the_weight_changes_the_effect(bare: UnderTest) -> None:
    if bare.spec.name in _SINGLE_ADAPTER:
        with pytest.raises(Unsupported, match="one adapter, with weight 1"):
            _with(bare, a=2.0)
        return
    texts = {_with(bare, a=weight) for weight in (-1.0, 0.0, 1.0, 2.0)}
    assert len(texts) > 2


def test_two_adapters_add_up_in_any_order(bare: UnderTest) -> None:
    if bare.spec.name in _SINGLE_ADAPTER:
        with pytest.raises(Unsupported, match="one adapter, with weight 1"):
            _with(bare, a=1.0, b=1.0)
        return
    first, second, both = _with(bare, a=1.0), _with(bare, b=1.0), _with(bare, a=1.0, b=1.0)
    assert len({first, second, both}) == 3
    assert _with(bare, b=1.0) == second
    assert _with(bare, a=1.0, b=0.0) == first


def test_an_adapter_for_another_model_is_refused_and_the_applied_ones_stay(bare: UnderTest) -> None:
    before = _with(bare, a=1.0)
    beside = {} if bare.spec.name in _SINGLE_ADAPTER else {"b": 1.0}
    with pytest.raises(ModelError) as refused:
        _with(bare, **beside, other=1.0)
    assert "other" in refused.value.message
    assert refused.value.message.endswith(".")
    assert bare.greedy(bare.chat(QUESTION)) == before


def test_a_truncated_adapter_file_is_refused_and_the_model_stays_usable(bare: UnderTest, tmp_path: Path) -> None:
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
