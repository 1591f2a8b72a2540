"""The spec of the transformers loader. Its engine's tests are tests/worker/test_hf_*.py."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loaders.transformers.spec import SPEC, Settings
from modules.protocol.errors import SettingError
from modules.protocol.model_facts import Evidence, Gpu, Machine, ModelFacts
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import build, describe

ROOT = Path(__file__).resolve().parent.parent.parent
CPU = Machine("linux", "x86_64", 2, 8 * 2**30, 4 * 2**30)
GPU = Machine("linux", "x86_64", 2, 8 * 2**30, 4 * 2**30, (Gpu("cuda", "one", 24 * 2**30),))


def facts(kind: str) -> ModelFacts:
    return ModelFacts("m", "/m", kind)


@pytest.mark.parametrize("kind", SPEC.formats)
def test_transformers_claims_every_declared_format(kind: str) -> None:
    claim = SPEC.claim(facts(kind), CPU)
    assert claim is not None
    assert claim.reason.endswith(".")


@pytest.mark.parametrize("kind", ["gptq", "awq", "exl2", "hqq", "unknown"])
def test_transformers_does_not_claim_other_formats(kind: str) -> None:
    assert kind not in SPEC.formats
    assert SPEC.claim(facts(kind), CPU) is None


def test_unpacked_formats_are_claimed_only_as_transformers_reads_them() -> None:
    method = Evidence("method", "fp8", "config.json: quantization_config")
    scales = Evidence("scales", "weight_scale_inv", "safetensors headers: l.weight_scale_inv")
    for found, runs, reason in (
        (replace(facts("fp8"), evidence=(method, scales)), True, "converts to 16 or 32 bits"),
        (replace(facts("fp8"), evidence=(method,)), False, "weight_scale_inv"),
        (replace(facts("fp8"), evidence=(scales,)), False, "config.json does not say"),
        (replace(facts("mxfp4"), evidence=(method,), architecture="GptOssForCausalLM"), True, "Weights in MXFP4"),
        (replace(facts("mxfp4"), evidence=(method,), architecture="LlamaForCausalLM"), False, "gpt-oss"),
        (replace(facts("compressed-tensors"), evidence=(method,)), True, "Weights in compressed-tensors"),
        (facts("compressed-tensors"), False, "config.json does not say"),
    ):
        claim = SPEC.claim(found, CPU)
        assert claim and claim.runs == runs and reason in claim.reason


def test_the_claims_reason_names_the_device() -> None:
    on_cpu, on_gpu = SPEC.claim(facts("safetensors"), CPU), SPEC.claim(facts("safetensors"), GPU)
    assert on_cpu and on_gpu
    assert "CPU" in on_cpu.reason
    assert "GPU" in on_gpu.reason


def test_full_precision_safetensors_rank_above_pickles_and_gguf() -> None:
    whole, pickles, gguf = (SPEC.claim(facts(kind), CPU) for kind in ("safetensors", "pickle", "gguf"))
    assert whole and pickles and gguf
    assert whole.score > pickles.score > gguf.score
    assert "full precision" in gguf.reason


def test_every_transformers_setting_has_help() -> None:
    for entry in describe(Settings):
        assert len(entry.info.help) > 20, entry.name
        assert entry.info.group, entry.name


def test_declared_samplers_exist() -> None:
    names = {entry.name for entry in describe(SamplingParams)}
    assert names >= SPEC.samplers
    assert not names - SPEC.samplers - ALWAYS_HONOURED


def test_a_wrong_value_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(SettingError, match="none, int8, nf4, fp4"):
        build(Settings, {"quantization": "int3"})


def test_pins_are_exact_and_without_cuda() -> None:
    lines = (ROOT / "loaders" / SPEC.name / SPEC.requirements).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9.-]+==[0-9][^+ ]*( ; .+)?$", pin) for pin in pins)
    assert "torch==2.13.0" in pins
    assert not [pin for pin in pins if pin.startswith(("nvidia-", "cuda-", "triton"))]
