"""The specs of the two llama.cpp loaders, and their conversion of sampling parameters and errors."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from loaders.llamacpp.spec import SPEC as LLAMACPP
from loaders.xllamacpp.spec import SPEC as XLLAMACPP
from modules.families.llama_cpp import AUTOMATIC_CONTEXT
from modules.protocol.errors import ModelError, OutOfMemory, PromptError, SettingError
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.worker.llama.gguf_keys import read_keys
from modules.worker.llama.model_notes import (
    check_settings,
    choose_context,
    context_notes,
    load_error,
    tensor_overrides,
    tensor_split_shares,
)
from modules.worker.llama.sampler_settings import CUT_SHARE, sampler_chain, server_sampler_chain, token_biases

_MACHINE = Machine("linux", "x86_64", 4, 8 << 30, 4 << 30)
_GGUF = ModelFacts("m.gguf", "m.gguf", "gguf")


def test_a_gguf_is_claimed_by_both_loaders_with_the_device() -> None:
    first, second = XLLAMACPP.claim(_GGUF, _MACHINE), LLAMACPP.claim(_GGUF, _MACHINE)
    assert first is not None
    assert second is not None
    assert first.score > second.score
    with_card = Machine("linux", "x86_64", 4, 8 << 30, 4 << 30, (Gpu("cuda", "a card"),))
    for spec in (XLLAMACPP, LLAMACPP):
        here, there = spec.claim(_GGUF, _MACHINE), spec.claim(_GGUF, with_card)
        assert here is not None
        assert there is not None
        assert "4 processor cores" in here.reason
        assert "graphics card" in there.reason
        assert spec.claim(ModelFacts("m", "m", "safetensors"), _MACHINE) is None


def test_tensors_are_placed_apart_by_name_and_experts_by_layer() -> None:
    def overrides(**values: object) -> list[tuple[str, str]]:
        return tensor_overrides(build(LLAMACPP.settings, values))

    experts = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    assert overrides() == []
    assert overrides(cpu_moe=True) == [(experts, "CPU")]
    assert overrides(n_cpu_moe=2) == [(rf"blk\.0{experts}", "CPU"), (rf"blk\.1{experts}", "CPU")]
    named = overrides(override_tensor="output=CPU, a=b=CUDA1", cpu_moe=True)
    assert named == [("output", "CPU"), ("a=b", "CUDA1"), (experts, "CPU")]
    for wrong in ("output", "=CPU", "output=", "(=CPU"):
        with pytest.raises(SettingError, match="Write a regular expression, = and a device"):
            overrides(override_tensor=wrong)


def test_the_memory_plan_of_the_server_follows_its_slots() -> None:
    facts = ModelFacts("m.gguf", "m.gguf", "gguf", context=2048)
    assert XLLAMACPP.memory is not None
    settings = build(XLLAMACPP.settings, {"context": 100_000, "slots": 3})
    assert XLLAMACPP.memory(facts, settings, _MACHINE).context == 3 * 2048
    settings = build(XLLAMACPP.settings, {"context": 3000, "slots": 3})
    assert XLLAMACPP.memory(facts, settings, _MACHINE).context == 3000
    settings = build(XLLAMACPP.settings, {"context": 100_000, "slots": 3, "own_caches": "on"})
    demand = XLLAMACPP.memory(facts, settings, _MACHINE)
    assert (demand.context, demand.caches) == (2048, 3)
    unknown = ModelFacts("m.gguf", "m.gguf", "gguf")
    settings = build(XLLAMACPP.settings, {"context": 3000, "slots": 3})
    assert XLLAMACPP.memory(unknown, settings, _MACHINE).context == 3000


@pytest.mark.parametrize("spec", [XLLAMACPP, LLAMACPP], ids=["xllamacpp", "llamacpp"])
def test_every_setting_has_a_label_a_group_and_a_help(spec: object) -> None:
    for entry in describe(spec.settings):  # type: ignore[attr-defined]
        assert entry.info.label, entry.name
        assert entry.info.group, entry.name
        assert entry.info.help.endswith("."), entry.name


def test_the_pins_are_exact() -> None:
    for name in ("xllamacpp", "llamacpp"):
        lines = (Path(__file__).parent.parent.parent / "loaders" / name / "requirements.txt").read_text().split("\n")
        assert all("==" in line for line in lines if line and not line.startswith("#"))


def test_only_samplers_that_are_not_neutral_act_in_the_given_order() -> None:
    params = SamplingParams(min_p=0.1, top_k=40, temperature=0.7)
    assert sampler_chain(params) == ["temperature", "top_k", "min_p"]
    assert sampler_chain(SamplingParams(min_p=0.1, top_k=40, temperature_last=True)) == [
        "top_k",
        "min_p",
        "temperature",
    ]
    order = ["min_p", "dynamic_temperature", "top_k"]
    assert sampler_chain(SamplingParams(min_p=0.1, top_k=40, sampler_priority=order)) == [
        "min_p",
        "temperature",
        "top_k",
    ]
    lines = ["min_p\ntop_k\ntemperature"]
    assert sampler_chain(SamplingParams(min_p=0.1, top_k=40, sampler_priority=lines)) == [
        "min_p",
        "top_k",
        "temperature",
    ]


def test_greedy_keeps_the_penalties_unless_sampling_is_off() -> None:
    params = {"repetition_penalty": 1.2, "xtc_probability": 0.5, "typical_p": 0.5}
    assert sampler_chain(SamplingParams(temperature=0.0, **params)) == ["penalties", "temperature"]  # type: ignore[arg-type]
    assert sampler_chain(SamplingParams(do_sample=False, **params)) == ["temperature"]  # type: ignore[arg-type]


def test_an_unknown_sampler_in_the_order_is_refused_with_the_valid_names() -> None:
    with pytest.raises(SettingError, match="'top_q'.*top_p"):
        sampler_chain(SamplingParams(sampler_priority=["min_p\ntop_q"]))


def test_cut_tokens_are_removed_before_a_sampler_that_would_count_them() -> None:
    def served(**params: object) -> tuple[list[str], float]:
        return server_sampler_chain(build(SamplingParams, params))

    assert served(typical_p=0.5, top_n_sigma=1.0) == (["top_n_sigma", "temperature", "min_p", "typ_p"], CUT_SHARE)
    heat = {"dynamic_temperature": True, "dynatemp_high": 2.0}
    assert served(**heat, top_k=3) == (["min_p", "temperature", "top_k"], CUT_SHARE)
    assert served(typical_p=0.5, min_p=0.1) == (["temperature", "typ_p", "min_p"], 0.1)
    assert served(top_k=3) == (["temperature", "top_k"], 0.0)


def test_bans_and_biases_of_llamacpp() -> None:
    assert token_biases(SamplingParams(logit_bias="1:2, 3:-4", custom_token_bans="3")) == {1: 2.0, 3: float("-inf")}
    with pytest.raises(PromptError, match="13:-2.5"):
        token_biases(SamplingParams(logit_bias="one"))


def test_the_default_context_is_the_models_up_to_a_limit() -> None:
    settings = build(LLAMACPP.settings, {})
    assert choose_context(settings, 2048) == 2048
    assert choose_context(settings, 131_072) == AUTOMATIC_CONTEXT
    assert "131072" in context_notes(settings, AUTOMATIC_CONTEXT, 131_072)[0]
    longer = build(LLAMACPP.settings, {"context": 4096})
    assert choose_context(longer, 2048) == 4096
    assert "yarn" in context_notes(longer, 4096, 2048)[0]


def test_incompatible_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="flash attention"):
        check_settings(build(LLAMACPP.settings, {"cache_type_v": "q8_0", "flash_attention": "off"}))
    assert tensor_split_shares(build(LLAMACPP.settings, {"tensor_split": "3, 1"})) == [3.0, 1.0]
    with pytest.raises(SettingError, match="3,1"):
        tensor_split_shares(build(LLAMACPP.settings, {"tensor_split": "most"}))


def test_errors_of_llama_cpp_become_sentences() -> None:
    memory = load_error("m.gguf", "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer", 32768)
    assert isinstance(memory, OutOfMemory)
    assert "32768" in memory.message
    known = {entry.name for entry in describe(XLLAMACPP.settings)} & {
        entry.name for entry in describe(LLAMACPP.settings)
    }
    assert set(memory.lower) <= known
    assert "'martian'" in load_error("m.gguf", "unknown model architecture: 'martian'", 1).message
    assert "cut short" in load_error("m.gguf", "data is not within the file bounds, model is corrupted", 1).message


@pytest.mark.parametrize("count", [1, 2**31, 2**63])
def test_a_header_with_too_large_counts_is_refused(tmp_path: Path, count: int) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, count) + struct.pack("<Q", 2**60) + b"x" * 40)
    with pytest.raises(ModelError, match="corrupt"):
        read_keys(path)


def test_the_demo_models_header_is_read() -> None:
    keys = read_keys(Path(__file__).parent.parent.parent / "models" / "demo.Q8_0.gguf")
    assert (keys.architecture, keys.trained_context, keys.pools) == ("llama", 2048, False)
    assert "<|im_end|>" in keys.control
