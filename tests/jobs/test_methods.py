"""Each method that a CPU can run makes a model of the demo, which its loader loads and which answers as the demo."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loaders.vllm.quantization import cpu_features, processor_problem
from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec, JobState
from modules.jobs.quantize import bits_per_weight, choose_method
from modules.jobs.windows import EvaluateSettings
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.settings.config import Config
from tests.support.environments import not_here
from tests.support.long_tests import takes_minutes

ROOT = Path(__file__).resolve().parent.parent.parent
Make = Callable[..., str]
QUESTION = "What is GGUF?"
ANSWER = (
    "GGUF is the file format of llama.cpp. One file holds the weights, usually quantized, together with the tokenizer, "
    "the chat template and all settings of the model."
)
# Few samples, so that all methods together take minutes on two cores.
_CALIBRATION = {"samples": "32", "length": "256"}
# GPTQModel takes longest, and needs no more.
_FEW = {"samples": "8", "length": "256"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App whose models folder holds the demo; what the jobs make stays for the whole module."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "models").mkdir()
    (folder / "models" / "demo").symlink_to(ROOT / "models" / "demo")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user"))
    yield app
    app.close()


def _make(app: App, method: str, loader: str, **settings: str) -> str:
    if reason := not_here(app.registry.get(loader), app.environments):
        pytest.skip(reason)
    spec = JobSpec("quantize", "demo", method=method, loader=loader, settings=settings)
    states: list[JobState] = []
    made = str(app.jobs.run(app.jobs.start(spec), states.append)["model"])
    # The engine's own part says how far it is.
    assert len({state.fraction for state in states if state.fraction and 0.06 < state.fraction < 0.7}) > 2, states
    return made


@pytest.fixture(scope="module")
def make(app: App) -> Make:
    """Return a function that quantizes the demo, once for the same arguments, and returns the name of what it made."""
    return functools.cache(functools.partial(_make, app))


def _answer(app: App, model: str, loader: str) -> str:
    app.models.load(model, loader, {})
    prompt = app.supervisor.chat_prompt([{"role": "user", "content": QUESTION}]).prompt
    generation = app.supervisor.generate(prompt, SamplingParams(max_new_tokens=80, temperature=0, do_sample=False))
    text = "".join(generation.follow())
    assert generation.error is None
    return text


@pytest.mark.parametrize(
    ("method", "loader", "settings"),
    [
        ("gguf", "xllamacpp", {"type": "F16"}),
        ("gguf", "xllamacpp", {"type": "Q8_0"}),
        ("gguf", "xllamacpp", {"type": "Q4_K_M"}),
        ("gguf", "xllamacpp", {"type": "IQ4_XS"}),
        ("bnb", "transformers", {"type": "nf4"}),
        ("bnb", "transformers", {"type": "int8"}),
        ("hqq", "hqq", {"bits": "4"}),
        ("gptq", "gptqmodel", _FEW),
        pytest.param("gptq", "autogptq", _CALIBRATION, marks=takes_minutes),
        ("awq", "gptqmodel", _FEW),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else value,
)
def test_a_method_makes_a_model_that_answers_as_the_original(
    app: App, make: Make, method: str, loader: str, settings: dict[str, str]
) -> None:
    model = make(method, loader, **settings)
    assert _answer(app, model, loader) == ANSWER
    if (app.paths.models / model).is_dir():
        assert bits_per_weight(app.library.facts(model)) < 1.1 * _promised_bits(app, method, loader, settings)


def _promised_bits(app: App, method: str, loader: str, settings: dict[str, str]) -> float:
    """Return the bits a weight of a folder, whose layers have those that the method declares, and the rest 16."""
    found, demo = choose_method(method, loader, app.jobs.resources)[1], app.library.facts("demo")
    bits = found.bits(build(found.settings, settings))
    return (bits * demo.layer_parameters + 16 * (demo.parameters - demo.layer_parameters)) / demo.parameters


@takes_minutes
def test_transformers_unpacks_w8a8(app: App, make: Make) -> None:
    w8a8 = make("w8a8", "llmcompressor", **_CALIBRATION)
    assert w8a8 == "demo-w8a8"
    assert _answer(app, w8a8, "transformers") == ANSWER
    facts = app.library.facts(w8a8)
    assert (facts.format, facts.bits) == ("compressed-tensors", 8)
    # Nothing that makes an unsafe reader of YAML run code.
    assert not list(Path(facts.path).glob("*.yaml"))


@pytest.mark.parametrize(
    "settings",
    [pytest.param({"scheme": "W4A16", **_CALIBRATION}, marks=takes_minutes), {"scheme": "FP8_DYNAMIC"}],
    ids=lambda value: value["scheme"],
)
def test_other_schemes_of_llm_compressor_answer_as_the_original(app: App, make: Make, settings: dict[str, str]) -> None:
    assert _answer(app, make("w8a8", "llmcompressor", **settings), "transformers") == ANSWER


@takes_minutes
@pytest.mark.parametrize(
    "settings", [{"scheme": "W4A16", **_CALIBRATION}, {"scheme": "FP8_DYNAMIC"}], ids=lambda value: value["scheme"]
)
def test_vllm_runs_other_schemes_of_llm_compressor(app: App, make: Make, settings: dict[str, str]) -> None:
    if reason := not_here(app.registry.get("vllm"), app.environments):
        pytest.skip(reason)
    made = make("w8a8", "llmcompressor", **settings)
    facts = app.library.facts(made)
    if problem := processor_problem(facts.format, facts.bits, cpu_features()):
        with pytest.raises(PaddockError, match="AVX512"):
            app.models.load(made, "vllm", {})
        pytest.skip(problem)
    assert _answer(app, made, "vllm") == ANSWER


@takes_minutes
def test_vllm_runs_w8a8(app: App, make: Make) -> None:
    if reason := not_here(app.registry.get("vllm"), app.environments):
        pytest.skip(reason)
    w8a8 = make("w8a8", "llmcompressor", **_CALIBRATION)
    spec = JobSpec("evaluate", w8a8, loader="vllm", settings={"tokens": "512", "speed": "false"}, against="demo")
    found = app.jobs.run(app.jobs.start(spec))
    assert 0 < found["kl"] < 0.05
    assert found["top1_agreement"] > 0.9
    assert {row["prompt"]: row["answer"] for row in found["answers"]}[QUESTION] == ANSWER


def test_the_default_type_keeps_its_promise_of_bits(app: App, make: Make) -> None:
    facts = app.library.facts(make("gguf", "xllamacpp"))
    assert 4.5 < 8 * facts.size_bytes / facts.parameters < 5.2


@pytest.mark.parametrize("mode", ["sliding", "chunks"])
def test_folder_and_gguf_of_the_same_weights_have_the_same_perplexity(app: App, make: Make, mode: str) -> None:
    gguf = make("gguf", "xllamacpp", type="F16")
    settings = {"mode": mode, "tokens": "1024", "speed": "false"}
    found = {}
    for model, loader in (("demo", "transformers"), (gguf, "xllamacpp")):
        if reason := not_here(app.registry.get(loader), app.environments):
            pytest.skip(reason)
        spec = JobSpec("evaluate", model, loader=loader, settings=settings)
        found[model] = app.jobs.run(app.jobs.start(spec))["perplexity"]
    assert found[gguf] == pytest.approx(found["demo"], rel=0.005)


@takes_minutes
def test_vllm_and_transformers_measure_the_same(app: App) -> None:
    found: dict[str, Any] = {}
    for loader in ("transformers", "vllm"):
        if reason := not_here(app.registry.get(loader), app.environments):
            pytest.skip(reason)
        settings = {"tokens": "512", "speed": "false"}
        spec = JobSpec("evaluate", "demo", loader=loader, settings=settings, against="demo" if found else "")
        found[loader] = app.jobs.run(app.jobs.start(spec))
    assert found["vllm"]["dtype"] == "float32"
    assert found["vllm"]["perplexity"] == pytest.approx(found["transformers"]["perplexity"], rel=0.005)
    assert found["vllm"]["kl"] == pytest.approx(0, abs=1e-4)


def test_evaluate_compares_with_the_original(app: App, make: Make) -> None:
    gguf = make("gguf", "xllamacpp", type="Q4_K_M")
    spec = JobSpec("evaluate", gguf, settings={"tokens": "1024"}, against="demo")
    found = app.jobs.run(app.jobs.start(spec))
    assert 0 < found["kl"] < 0.1
    assert 0.9 < found["top1_agreement"] < 1
    assert found["tokens"] == 1023
    assert found["window"] == EvaluateSettings().window
    for key in ("prefill_tokens_per_second", "decode_tokens_per_second", "peak_bytes", "size_bytes", "bits_per_weight"):
        assert found[key] > 0, key
    assert [check["name"] for check in found["checks"] if not check["passed"]] == []


def test_weights_that_are_packed_while_loading_are_measured_like_any_model(app: App) -> None:
    if reason := not_here(app.registry.get("transformers"), app.environments):
        pytest.skip(reason)
    settings = {"tokens": "512", "quantization": "nf4"}
    spec = JobSpec("evaluate", "demo", loader="transformers", settings=settings, against="demo")
    found = app.jobs.run(app.jobs.start(spec))
    assert found["settings"] == {"quantization": "nf4"}
    assert 0 < found["kl"] < 0.1
    assert found["bits_per_weight"] < 12  # the rest computes in 32 bits
    assert found["kernel"] == "Linear4bit"
    checks = {check["name"]: check for check in found["checks"]}
    # It is the same folder, so only what lies in memory gets smaller.
    assert checks["memory"]["passed"] and "smaller" not in checks
    assert checks["speed"]["passed"] or "The kernel that ran is Linear4bit." in checks["speed"]["detail"]


def test_compare_puts_the_original_first_and_answers_side_by_side(app: App, make: Make) -> None:
    gguf = make("gguf", "xllamacpp", type="Q2_K")
    spec = JobSpec("compare", "demo", models=["demo", gguf], settings={"tokens": "512", "speed": "false"})
    found = app.jobs.run(app.jobs.start(spec))
    original, other = found["rows"]
    assert (original["model"], other["model"]) == ("demo", gguf)
    assert original["kl"] == pytest.approx(0, abs=1e-6)
    assert other["kl"] > 0.01
    assert set(found["answers"][0]["answers"]) == {"demo", gguf}


def test_compare_packs_all_but_the_original_while_they_are_loaded(app: App) -> None:
    settings = {"tokens": "512", "speed": "false", "quantization": "nf4"}
    spec = JobSpec("compare", "demo", loader="transformers", models=["demo", "demo"], settings=settings)
    original, packed = app.jobs.run(app.jobs.start(spec))["rows"]
    assert (original["model"], original["settings"]) == ("demo", {})
    assert (packed["model"], packed["loader"]) == ("demo (transformers, quantization=nf4)", "transformers")
    assert original["kl"] == pytest.approx(0, abs=1e-6) and packed["kl"] > 0.001
    assert packed["bits_per_weight"] < original["bits_per_weight"]
