"""Recommendations: the decision tree, the device that is asked for, sizes, and what is impossible."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.parser import run
from modules.families.gptq_quantization import GptqSettings
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.recommend.decision import Situation, choose_preference
from modules.jobs.recommend.devices import parse_device
from modules.jobs.recommend.gguf_sizes import GgufSizes
from modules.jobs.recommend.methods import METHODS, variants
from modules.jobs.recommend.tensors import read_model_tensors
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.protocol.errors import ModelError, SettingError
from modules.protocol.quantization_method import indivisible
from tests.conftest import ROOT
from tests.support.models import write_safetensors
from tests.support.server import serving

DEMO = ROOT / "models" / "demo"


def ask(capsys: pytest.CaptureFixture[str], tmp_path: Any, *arguments: str) -> dict[str, Any]:
    status = run(ROOT, ["recommend", "demo", "--json", "--user-data", str(tmp_path), *arguments])
    assert status == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("device", "aim", "first", "settings"),
    [
        ("cpu:16GiB", "balance", "gguf", {"type": "Q4_K_M"}),
        ("cpu:16GiB", "quality", "gguf", {"type": "Q5_K_M"}),
        ("cpu:16GiB", "memory", "gguf", {"type": "Q3_K_M"}),
        ("cuda:24GiB", "quality", "awq", {"group_size": 128}),
        ("cuda:24GiB", "speed", "gptq", {"bits": 4, "group_size": 128}),
        ("cuda:1MiB,cpu:16GiB", "quality", "gguf", {"type": "Q5_K_M"}),
        ("rocm:16GiB", "balance", "gguf", {"type": "Q4_K_M"}),
        ("metal:32GiB", "balance", "gguf", {"type": "Q4_K_M"}),
    ],
)
def test_hardware_and_aim_decide_what_comes_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, device: str, aim: str, first: str, settings: dict[str, Any]
) -> None:
    found = ask(capsys, tmp_path, "--device", device, "--aim", aim)
    best = found["methods"][0]
    assert (best["method"], best["settings"], best["rank"]) == (first, settings, 1)
    assert best["loader"] and best["memory_bytes"] > best["size_bytes"]


def test_every_method_is_named_and_impossible_ones_say_why(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    found = ask(capsys, tmp_path, "--device", "cpu:16GiB")
    assert sorted(row["method"] for row in found["methods"]) == sorted(METHODS)
    possible = [row["rank"] for row in found["methods"] if not row["why_not"]]
    assert possible == list(range(1, len(possible) + 1))
    assert all(row["rank"] == 0 and row["why_not"].endswith(".") for row in found["methods"][len(possible) :])


def test_w8a8_is_made_here_and_run_by_vllm_on_a_card(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    for device, loader, reason in (("cuda:24GiB", "vllm", "many requests"), ("cpu:16GiB", "transformers", "converts")):
        found = ask(capsys, tmp_path, "--device", device, "--aim", "speed")["methods"]
        row = next(row for row in found if row["method"] == "w8a8")
        assert (row["loader"], row["why_not"]) == (loader, "") and row["rank"] > 0 and reason in row["reason"]
        assert row["command"].endswith("quantize demo --method w8a8")


def test_formats_of_exllama_are_recommended_for_cards_alone(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    found = {row["method"]: row for row in ask(capsys, tmp_path, "--device", "cuda:24GiB")["methods"]}
    for method, loader in (("exl2", "exllamav2"), ("exl3", "exllamav3")):
        assert found[method]["rank"] and found[method]["loader"] == loader
    found = {row["method"]: row for row in ask(capsys, tmp_path, "--device", "cpu:16GiB")["methods"]}
    assert not found["exl3"]["rank"] and "needs CUDA" in found["exl3"]["why_not"]


def test_fine_tuning_wants_nf4_first(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    found = ask(capsys, tmp_path, "--device", "cuda:24GiB", "--fine-tune")
    assert found["methods"][0]["method"] == "nf4" and "QLoRA" in found["reason"]


def test_a_method_that_refuses_this_kind_of_model_says_so(app: App) -> None:
    file = app.paths.models / "tiny" / "config.json"
    config = json.loads(file.read_text())
    config.update(architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=4)
    file.write_text(json.dumps(config))
    with serving(app) as address:
        request = {"model": "tiny", "device": "cuda:24GiB"}
        url = f"{address}/paddock/workshop/recommend"
        rows = httpx.post(url, json=request, timeout=60).raise_for_status().json()["methods"]
    row = next(row for row in rows if row["method"] == "w8a8")
    assert row["rank"] == 0
    assert row["why_not"].startswith("tiny is a mixture of experts")


def test_without_text_methods_that_are_not_calibrated_come_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    with_text = ask(capsys, tmp_path, "--device", "cuda:24GiB")
    without = ask(capsys, tmp_path, "--device", "cuda:24GiB", "--no-calibration")
    assert with_text["methods"][0]["method"] == "awq"
    ranked = [row["method"] for row in without["methods"] if row["rank"]]
    assert ranked[:2] == ["nf4", "gguf"]
    assert {"awq", "gptq", "w8a8", "exl2", "exl3"} == set(ranked[-5:])
    assert "not calibrated come first" in without["methods"][0]["reason"]


def test_the_page_asks_for_other_hardware_as_the_command_line_does(app: App) -> None:
    request = {"model": "tiny", "device": "cuda:24GiB", "fine_tune": True}
    with serving(app) as address:
        url = f"{address}/paddock/workshop/recommend"
        found = httpx.post(url, json=request, timeout=60).raise_for_status().json()
        refused = httpx.post(url, json={**request, "device": "cuda:GiB"}, timeout=60)
    assert (found["device"], found["fine_tune"], found["calibration"]) == ("cuda", True, True)
    assert found["methods"][0]["method"] == "nf4"
    assert refused.json()["error"].startswith("Hardware cannot be 'cuda:GiB'. It takes cuda:24GiB")


def test_a_context_that_is_asked_for_is_in_the_memory(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    small = ask(capsys, tmp_path, "--device", "cpu:16GiB", "--context", "256")["methods"][0]["memory_bytes"]
    large = ask(capsys, tmp_path, "--device", "cpu:16GiB", "--context", "2048")["methods"][0]["memory_bytes"]
    # Keys and values of 6 layers, 2 heads of 64 numbers, in 16 bits.
    assert large - small >= 6 * 2 * 64 * 2 * 2 * (2048 - 256)


def test_only_this_machine_has_a_speed(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert ask(capsys, tmp_path, "--device", "cpu:16GiB")["methods"][0]["tokens_per_second"] is None
    if not inspect_machine().gpus:
        assert ask(capsys, tmp_path)["methods"][0]["tokens_per_second"] > 0


@pytest.mark.parametrize(
    "device", ["gpu:24GiB", "cuda", "cuda:GiB", "cuda:0GiB", "cuda:24", "metal:8GiB,cuda:8GiB", ","]
)
def test_a_device_that_cannot_be_is_refused_with_examples(device: str) -> None:
    with pytest.raises(SettingError, match="cuda:24GiB"):
        parse_device(device, inspect_machine())


def test_sizes_of_full_precision_are_the_files_own() -> None:
    facts = detect(DEMO, "demo")
    tensors = read_model_tensors(facts)
    assert tensors.total == facts.parameters
    f16 = GgufSizes(facts).bytes_of("F16")
    q8 = detect(ROOT / "models" / "demo.Q8_0.gguf", "demo.Q8_0.gguf").size_bytes
    assert f16 > 2 * facts.parameters
    assert GgufSizes(facts).bytes_of("Q8_0") == pytest.approx(q8, rel=0.01)


def test_a_quantized_source_is_refused() -> None:
    facts = detect(ROOT / "models" / "demo.Q8_0.gguf", "demo.Q8_0.gguf")
    with pytest.raises(ModelError, match="original"):
        read_model_tensors(facts)


def test_a_recommended_group_size_is_one_that_quantizing_takes(app: App) -> None:
    """The attention of this model is narrower than its hidden size, as in many models with their own head_dim."""
    layer = "model.layers.0"
    shapes = {"self_attn.q_proj": [96, 128], "self_attn.o_proj": [128, 96], "mlp.up_proj": [256, 128]}
    shapes["mixer.conv1d"] = [96, 1, 4]
    tensors = {f"{layer}.{name}.weight": shape for name, shape in shapes.items()}
    write_safetensors(app.paths.models / "tiny" / "model.safetensors", tensors)
    facts = app.library.facts("tiny")
    assert facts.input_widths == (96, 128)
    sizes = [
        variant.settings["group_size"]
        for variant in variants(facts, read_model_tensors(facts), None)
        if variant.method == "gptq"
    ]
    assert set(sizes) == {32}
    assert indivisible(facts, GptqSettings(group_size=32)) == ""
    with pytest.raises(JobError, match="128 does not divide the width 96 of tiny. Sizes that work: -1, 16, 32"):
        app.jobs.start(JobSpec("quantize", "tiny", method="gptq", settings={"group_size": "128"}))


def test_every_situation_has_every_method_once() -> None:
    for device in ("cpu", "cuda", "rocm", "metal"):
        for aim in ("balance", "quality", "speed", "memory"):
            situations = (Situation(device, aim), Situation(device, aim, True), Situation(device, aim, on_card=False))
            for situation in situations:
                assert sorted(choose_preference(situation).methods) == sorted(METHODS)
