"""Loaders of packed weights read each format, made by the engines' own quantizers, and refuse bad folders."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.ranking import rank_loaders
from modules.protocol.errors import ModelError, SettingError
from modules.protocol.model_facts import AIMS, Gpu, Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.contract.under_test import QUESTION, ROOT, UnderTest
from tests.support.environments import installed
from tests.support.quantize import made_by, quantized

REGISTRY = Registry(ROOT / "loaders")
ADDED = ("autogptq", "gptqmodel", "autoawq", "hqq")
CPU = Machine("linux", "x86_64", 2, 8 * 2**30, 4 * 2**30)
GPU = Machine("linux", "x86_64", 2, 8 * 2**30, 4 * 2**30, (Gpu("cuda", "one", 24 * 2**30),))
Worker = Callable[[str], UnderTest]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Return a function that returns a loader's worker. It starts one if the loader has none or its last has died."""
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    started: dict[str, UnderTest] = {}

    def worker(name: str) -> UnderTest:
        if name not in started or started[name].exits:
            started[name] = UnderTest(REGISTRY.get(name), installed(REGISTRY.get(name), environments))
        return started[name]

    yield worker
    for under_test in started.values():
        under_test.client.stop()


@pytest.mark.parametrize(
    "name, kind, settings",
    [
        ("autogptq", "gptq_act_order", {"dtype": "float32"}),
        ("gptqmodel", "gptq_act_order", {}),
        ("gptqmodel", "awq", {"kernel": "torch"}),
        ("autoawq", "awq", {"fuse_layers": True}),
        ("hqq", "hqq", {}),
        ("hqq", "", {"bits": 8, "group_size": 128}),
        ("transformers", "nf4", {}),
        ("transformers", "gguf", {}),
    ],
)
def test_a_packed_model_gives_the_right_answer(worker: Worker, name: str, kind: str, settings: dict[str, Any]) -> None:
    engine = worker(name)
    model = ROOT / "models" / ("demo.Q8_0.gguf" if kind == "gguf" else "demo")
    engine.load(quantized(kind) if kind not in ("", "gguf") else model, **settings)
    answer = engine.greedy(engine.chat(QUESTION), max_new_tokens=60)
    assert "llama.cpp" in answer or "file" in answer
    assert 4_000_000 < engine.info.parameters < 8_000_000


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_an_fp8_model_is_converted_and_gives_the_right_answer(worker: Worker, tmp_path: Path, dtype: str) -> None:
    maker = ROOT / "tests" / "support" / "fp8_maker.py"
    folder = made_by("transformers", tmp_path / "fp8", maker, str(ROOT / "models" / "demo"))
    facts = detect(folder, "fp8")
    assert (facts.format, facts.bits) == ("fp8", 8)
    ranked = rank_loaders(facts, REGISTRY.specs.values(), CPU)
    assert "transformers" in [entry.loader for entry in ranked if entry.runs]
    _vllm_needs_amx(facts)
    engine = worker("transformers")
    engine.load(folder, dtype=dtype)
    answer = engine.greedy(engine.chat(QUESTION), max_new_tokens=60)
    assert "llama.cpp" in answer or "file" in answer


def test_an_mxfp4_model_answers_as_the_same_weights_unpacked(worker: Worker, tmp_path: Path) -> None:
    maker = ROOT / "tests" / "support" / "mxfp4_maker.py"
    made = made_by("transformers", tmp_path / "mxfp4", maker, str(ROOT / "models" / "demo"))
    facts = detect(made / "packed", "packed")
    assert (facts.format, facts.bits, facts.architecture) == ("mxfp4", 4.25, "GptOssForCausalLM")
    assert facts.parameters == detect(made / "plain", "plain").parameters
    ranked = rank_loaders(facts, REGISTRY.specs.values(), CPU)
    assert "transformers" in [entry.loader for entry in ranked if entry.runs]
    _vllm_needs_amx(facts)
    engine = worker("transformers")
    texts = []
    for name in ("packed", "plain"):
        engine.load(made / name, dtype="float32")
        texts.append([engine.greedy(prompt, max_new_tokens=40) for prompt in ("Hello", QUESTION)])
    assert texts[0] == texts[1] and all(texts[0])


def _vllm_needs_amx(facts: ModelFacts) -> None:
    """Assert that vLLM is offered on this machine, or refused with the sentence that is true here."""
    (found,) = [entry for entry in rank_loaders(facts, REGISTRY.specs.values(), CPU) if entry.loader == "vllm"]
    assert found.runs == has_amx()
    assert found.runs or "or on a CPU with AMX, which this CPU does not have" in found.reason


def has_amx() -> bool:
    """Return True if this processor multiplies matrices in tiles."""
    return "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def _changed(kind: str, folder: Path, **values: Any) -> Path:
    """Return a copy of a quantized folder with a changed configuration."""
    target = folder / "model"
    shutil.copytree(quantized(kind), target)
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"].update(values)
    (target / "config.json").write_text(json.dumps(config))
    (target / "quantize_config.json").unlink(missing_ok=True)
    return target


@pytest.mark.parametrize(
    "name, kind, values, words",
    [
        ("gptqmodel", "awq", {"quant_method": "gptq"}, "says GPTQ .* tensors are packed as AWQ"),
        ("autogptq", "awq", {"quant_method": "gptq"}, "says GPTQ .* tensors are packed as AWQ"),
        ("autoawq", "gptq", {"quant_method": "awq"}, "says AWQ .* tensors are packed as GPTQ"),
        ("autoawq", "awq", {"bits": 3}, "3 bits a weight, and AutoAWQ takes 4"),
        ("autogptq", "gptq", {"bits": 5}, "5 bits a weight, and AutoGPTQ takes 2, 3, 4, 8"),
        ("autogptq", "gptq", {"group_size": 0}, "0 for its group size"),
        ("autoawq", "gptq", {}, "is packed by GPTQ, and AutoAWQ reads AWQ only"),
        ("hqq", "gptq", {}, "is packed by GPTQ already"),
    ],
)
def test_a_folder_with_a_wrong_configuration_is_refused_and_the_next_one_loads(
    worker: Worker, tmp_path: Path, name: str, kind: str, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        worker(name).load(_changed(kind, tmp_path, **values))
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize("name, kind", [("gptqmodel", "gptq"), ("autogptq", "gptq"), ("autoawq", "awq")])
def test_a_missing_shard_is_named(worker: Worker, tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(quantized(kind), folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    with pytest.raises(ModelError, match="model-00002-of-00002.safetensors. Download what is missing"):
        worker(name).load(folder)


@pytest.mark.parametrize("name, kind", [("gptqmodel", "gptq"), ("autogptq", "gptq"), ("autoawq", "awq")])
def test_a_load_does_not_change_the_folder(worker: Worker, tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(quantized(kind), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    worker(name).load(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_group_size_that_does_not_fit_is_refused_with_a_valid_one(worker: Worker) -> None:
    with pytest.raises(SettingError, match="Group size 512 does not divide .* Set it to 256"):
        worker("hqq").load(ROOT / "models" / "demo", group_size=512)


def test_claims_follow_the_hardware() -> None:
    def score(name: str, kind: str, machine: Machine, bits: float = 4) -> int:
        claim = REGISTRY.get(name).claim(ModelFacts("m", "/m", kind, bits=bits), machine)
        assert claim is not None, (name, kind)
        assert claim.reason.endswith(".")
        return claim.score

    for machine in (CPU, GPU):
        assert score("gptqmodel", "gptq", machine) > score("autogptq", "gptq", machine)
        assert score("gptqmodel", "awq", machine) > score("autoawq", "awq", machine)
        assert score("transformers", "safetensors", machine) > score("hqq", "safetensors", machine)
    for name in ADDED:
        assert REGISTRY.get(name).claim(ModelFacts("m", "/m", "exl2"), CPU) is None


@pytest.mark.parametrize(
    ("kind", "bits", "able"),
    [
        ("gptq", 4, {"gptqmodel", "autogptq", "exllamav2", "vllm"}),
        ("gptq", 8, {"gptqmodel", "autogptq", "vllm"}),
        ("gptq", 5, set()),
        ("awq", 4, {"gptqmodel", "autoawq", "vllm"}),
        ("awq", 3, set()),
    ],
)
def test_unsupported_bits_are_refused_before_a_load(kind: str, bits: float, able: set[str]) -> None:
    specs = [spec for spec in REGISTRY.specs.values() if kind in spec.formats]
    ranked = rank_loaders(ModelFacts("m", "/m", kind, bits=bits), specs, GPU)
    assert {entry.loader for entry in ranked if entry.runs} == able
    for entry in ranked:
        assert entry.runs or f"The weights have {bits:g} bits each" in entry.reason


def test_scores_for_an_aim_match_the_loaders_strengths() -> None:
    def best(kind: str, machine: Machine, aim: str) -> str:
        return rank_loaders(ModelFacts("m", "/m", kind, bits=4), REGISTRY.shown(), machine, aim)[0].loader

    assert [best("safetensors", CPU, aim) for aim in AIMS] == ["transformers", "transformers", "transformers", "hqq"]
    assert [best("safetensors", GPU, aim) for aim in AIMS] == ["transformers", "transformers", "vllm", "hqq"]
    assert {best("gptq", CPU, aim) for aim in AIMS} == {"gptqmodel"}
    assert {best("gptq", GPU, aim) for aim in AIMS} == {"exllamav2"}


@pytest.mark.parametrize("name", ADDED)
def test_settings_have_help_and_pins_are_exact(name: str) -> None:
    spec = REGISTRY.get(name)
    assert all(len(entry.info.help) > 20 and entry.info.group for entry in describe(spec.settings))
    lines = (ROOT / "loaders" / name / spec.requirements).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[A-Za-z0-9._-]+==[0-9][^+ ]*( ; .+)?$", pin) for pin in pins)
    assert {"torch==2.13.0", "sentencepiece==0.2.3", "protobuf==7.36.2"} <= set(pins)
    assert not [pin for pin in pins if pin.startswith(("nvidia-", "cuda-", "triton"))]
