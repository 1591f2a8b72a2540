"""The parts of the exllamav3 loader that need neither a card nor torch: claim, settings, memory, placement."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from loaders.exllamav3.loaded_model import make_cache, placement
from loaders.exllamav3.spec import SPEC, Settings
from modules.library.memory_plan import plan_memory
from modules.library.ranking import rank_loaders
from modules.protocol.errors import OutOfMemory, PaddockError, SettingError
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import build
from modules.worker.exllama.error_messages import translate_errors
from modules.worker.exllama.lengths import Lengths

BARE = Machine("linux", "x86_64", 4, 2**34, 2**33)
CARD = replace(BARE, gpus=(Gpu("cuda", "a card", 2**34, 2**34),))
FACTS = ModelFacts(
    "m", "m", "exl3", bits=4, layers=32, kv_heads=8, head_dim=128, hidden=4096, size_bytes=4 << 30, context=32768
)


def test_exllamav3_claims_exl3_on_cuda_and_nothing_else() -> None:
    (there,), (here,) = rank_loaders(FACTS, [SPEC], CARD), rank_loaders(FACTS, [SPEC], BARE)
    assert there.runs and there.score >= 85
    assert not here.runs and here.reason == "ExLlamaV3 needs CUDA, which this machine does not have."
    for other in ("exl2", "gptq", "safetensors"):
        assert not any(entry.runs for entry in rank_loaders(replace(FACTS, format=other), [SPEC], CARD))


def test_all_samplers_but_guidance_are_declared() -> None:
    assert ALL_SAMPLERS - SPEC.samplers == {"guidance_scale", "negative_prompt"}
    assert SPEC.logprobs and not SPEC.adapters


def test_a_quantized_cache_takes_its_bits_in_the_plan() -> None:
    def cache(**settings: Any) -> int:
        demand = SPEC.memory and SPEC.memory(FACTS, build(SPEC.settings, settings), CARD)
        assert demand is not None
        return plan_memory(FACTS, demand, CARD).shares[1].cache

    whole = 32 * 8 * 128 * 8192 * 32 // 8
    assert cache() == whole
    assert cache(cache_type="q8") == whole * 17 // 32
    assert cache(cache_type="q8", cache_type_v="q4") == whole * 13 // 32
    # Values are quantized only where keys are.
    assert cache(cache_type_v="q4") == whole


def test_a_second_cache_and_experts_are_planned_in_main_memory() -> None:
    def main(**settings: Any) -> int:
        demand = SPEC.memory and SPEC.memory(FACTS, build(SPEC.settings, settings), CARD)
        assert demand is not None
        return plan_memory(replace(FACTS, expert_bytes=1 << 30), demand, CARD).shares[0].total

    assert main(main_memory_cache="2") - main() == 2 << 30
    assert main(n_cpu_moe="16") - main() == 1 << 29


class Engine:
    """Stands for the module exllamav3."""

    CacheLayer_fp16, CacheLayer_quant = "fp16", "quant"

    @staticmethod
    def Cache(model: Any, **options: Any) -> dict[str, Any]:  # noqa: N802 (the engine's name)
        return options


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, {"layer_type": "fp16"}),
        ({"cache_type": "q6"}, {"layer_type": "quant", "k_bits": 6, "v_bits": 6}),
        ({"cache_type": "q8", "cache_type_v": "q3"}, {"layer_type": "quant", "k_bits": 8, "v_bits": 3}),
        ({"cache_type_v": "q3"}, {"layer_type": "fp16"}),
    ],
)
def test_the_cache_has_the_types_of_the_settings(settings: dict[str, str], expected: dict[str, Any]) -> None:
    made = make_cache(Engine, SimpleNamespace(), build(Settings, settings), Lengths(512, 768, 256), 4)
    assert made == {"max_num_tokens": 768, "max_batch_size": 2, "max_history": 4, **expected}


@pytest.mark.parametrize(
    "settings, use, keep",
    [({}, None, None), ({"gpu_split": "20, 22", "reserve": "1"}, [20.0, 22.0], None), ({"reserve": "1.5"}, None, 1.5)],
)
def test_weights_go_where_the_settings_say(settings: dict[str, str], use: Any, keep: Any) -> None:
    found = placement(build(Settings, settings), Lengths(512, 768, 256), tensor_parallel=True)
    assert (found["use_per_device"], found["reserve_per_device"], found["tensor_p"]) == (use, keep, True)
    assert (found["max_chunk_size"], found["max_batch_size"]) == (256, 2)


def test_an_invalid_split_is_refused_before_the_load() -> None:
    with pytest.raises(SettingError, match="GPU split"):
        placement(Settings(gpu_split="much"), Lengths(512, 768, 256), tensor_parallel=False)


def test_errors_of_the_engine_become_sentences() -> None:
    class NonFiniteLogits(RuntimeError):
        """As the engine names it."""

    cases: list[tuple[Exception, type[PaddockError], str]] = [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemory, "Not enough memory on the graphics"),
        (AssertionError("Job requires 9 pages (only 2 available)"), OutOfMemory, "Lower Context length"),
        (
            NotImplementedError("Tensor-parallel is not currently implemented"),
            PaddockError,
            "ExLlamaV3 does not accept",
        ),
        (NonFiniteLogits("Job produced 3 non-finite logits"), PaddockError, "logits are NaN"),
    ]
    for error, kind, words in cases:
        with pytest.raises(kind, match=words), translate_errors("ExLlamaV3", "this reply", ("context",)):
            raise error
