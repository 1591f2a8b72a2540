"""What a quantization will take, before it starts: from earlier jobs, or from a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.jobs.estimate import Estimate, estimate_quantize
from modules.jobs.job_spec import FINISHED, JobError, JobSpec, JobState
from modules.jobs.quantize import QuantizePlan, plan_quantize
from modules.jobs.store import JobStore
from modules.library.sizes import format_size
from modules.settings.config import Config
from tests.support.environments import not_here
from tests.support.long_tests import takes_minutes
from tests.support.server import serving

ROOT = Path(__file__).resolve().parent.parent.parent
ECHO = JobSpec("quantize", "tiny", method="echo")


def _plan(app: App, parameters: int = 1000) -> QuantizePlan:
    """Return the plan of the echo method for a model of so many parameters."""
    plan = plan_quantize(ECHO, app.jobs.resources)
    return dataclasses.replace(plan, facts=dataclasses.replace(plan.facts, parameters=parameters))


def _remember(app: App, parameters: int, **results: object) -> str:
    """Store a finished job that took 12 s, 10 of them for the work that grows with the model."""
    store = JobStore(app.paths.jobs)
    id = store.create(ECHO)
    store.write_state(id, JobState(FINISHED))
    base = {"seconds": 12.0, "work_seconds": 10.0, "parameters": parameters, "made_by": "echo", "peak_bytes": 5000}
    store.write_results(id, {**base, **results})
    return id


def _estimate(app: App, parameters: int = 1000) -> Estimate:
    return estimate_quantize(_plan(app, parameters), app.jobs.resources)


def test_without_an_earlier_job_or_a_trial_nothing_is_invented(app: App) -> None:
    found = _estimate(app)
    assert (found.seconds, found.memory_bytes) == (None, None)
    assert found.disk_bytes == _plan(app).needed_bytes > 0
    assert "no model was made by echo here yet" in found.how


def test_an_earlier_job_of_about_this_size_says_how_long(app: App) -> None:
    id = _remember(app, 500)
    found = _estimate(app)
    assert found.seconds == 2 + 10 * 2  # twice the weights; what does not grow stays
    assert found.memory_bytes == 5000
    assert f"job {id}" in found.how and "rough" not in found.how


def test_a_job_of_another_size_is_rough_and_one_of_quite_another_says_nothing(app: App) -> None:
    _remember(app, 50)
    found = _estimate(app)
    assert found.seconds == pytest.approx(2 + 10 * 20, rel=0.05)
    assert "rough" in found.how
    assert found.memory_bytes is None
    assert _estimate(app, 50_000).seconds is None


def test_the_nearest_job_counts(app: App) -> None:
    _remember(app, 1000)
    _remember(app, 50)
    _remember(app, 1000, made_by="another", work_seconds=1.0)
    assert _estimate(app).seconds == 12


def test_a_job_remembers_what_it_took_for_the_next_plan(app: App) -> None:
    results = app.jobs.run(app.jobs.start(ECHO))
    assert results["parameters"] > 0 and results["peak_bytes"] > 1 << 20
    assert 0 <= results["work_seconds"] <= results["seconds"] + 1
    plan = app.jobs.plan(ECHO)
    assert (plan["model"], plan["loader"]) == ("tiny-echo-2", "echo")
    assert plan["estimate"]["seconds"] == pytest.approx(results["seconds"], rel=0.1, abs=0.1)
    assert plan["estimate"]["memory_bytes"] == results["peak_bytes"]


def test_the_page_gets_the_plan_and_bad_input_is_a_sentence(app: App) -> None:
    with serving(app) as address:
        url = f"{address}/paddock/workshop/plan"
        plan = httpx.post(url, json=dataclasses.asdict(ECHO), timeout=60).raise_for_status().json()
        refused = httpx.post(url, json={**dataclasses.asdict(ECHO), "method": "gptt"}, timeout=60)
    assert set(plan["estimate"]) == {"seconds", "memory_bytes", "disk_bytes", "how"}
    assert "There is no method 'gptt'" in refused.json()["error"]
    with pytest.raises(JobError, match="Only a quantization has a plan"):
        app.jobs.plan(JobSpec("evaluate", "tiny"))
    assert app.jobs.list() == []


def test_methods_with_a_trial_have_a_quantizer_that_tries(app: App) -> None:
    for spec in app.registry.specs.values():
        file = ROOT / "loaders" / spec.name / "quantizer.py"
        text = file.read_text("utf-8") if file.is_file() else ""
        # Those that work layer by layer have it from their base class.
        tries = "def trial(" in text or "(LayerQuantizer)" in text
        assert tries == any(method.has_trial for method in spec.quantizers), spec.name


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[App]:
    """Return an App whose models folder holds the demo."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "demo").symlink_to(ROOT / "models" / "demo")
    app = build_app(Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user"))
    yield app
    app.close()


@pytest.mark.parametrize(("method", "loader"), [("bnb", "transformers"), ("hqq", "hqq")])
def test_a_matrix_of_the_first_layer_says_how_long_packing_takes(demo: App, method: str, loader: str) -> None:
    if reason := not_here(demo.registry.get(loader), demo.environments):
        pytest.skip(reason)
    found = demo.jobs.plan(JobSpec("quantize", "demo", method=method, loader=loader))["estimate"]
    assert "from a short trial" in found["how"]
    assert found["seconds"] > 0


@pytest.mark.parametrize(
    ("method", "loader"),
    [
        ("gptq", "gptqmodel"),
        pytest.param("awq", "gptqmodel", marks=takes_minutes),
        pytest.param("w8a8", "llmcompressor", marks=takes_minutes),
    ],
)
def test_a_run_on_the_first_layer_says_how_long_a_calibrated_method_takes(
    demo: App, monkeypatch: pytest.MonkeyPatch, method: str, loader: str
) -> None:
    if reason := not_here(demo.registry.get(loader), demo.environments):
        pytest.skip(reason)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spec = JobSpec("quantize", "demo", method=method, loader=loader, settings={"samples": "16", "length": "256"})
    estimate = demo.jobs.plan(spec)["estimate"]
    assert "from a short trial" in estimate["how"]
    assert "what the trial took" in estimate["how"]
    results = demo.jobs.run(demo.jobs.start(spec))
    # On a busy machine, the two do not run at the same speed.
    assert results["seconds"] / 5 < estimate["seconds"] < results["seconds"] * 5
    assert results["peak_bytes"] / 2 < estimate["memory_bytes"] < results["peak_bytes"] * 2


def test_autoawq_has_a_trial_too(demo: App, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := not_here(demo.registry.get("autoawq"), demo.environments):
        pytest.skip(reason)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = {"samples": "8", "length": "128"}
    spec = JobSpec("quantize", "demo", method="awq", loader="autoawq", settings=settings)
    estimate = demo.jobs.plan(spec)["estimate"]
    assert "from a short trial" in estimate["how"]
    assert estimate["seconds"] > 0


def test_a_trial_of_gguf_says_the_order_of_time_and_memory(demo: App) -> None:
    if reason := not_here(demo.registry.get("xllamacpp"), demo.environments):
        pytest.skip(reason)
    spec = JobSpec("quantize", "demo", method="gguf", loader="xllamacpp", settings={"type": "Q4_K_M"})
    estimate = demo.jobs.plan(spec)["estimate"]
    assert "from a short trial" in estimate["how"]
    results = demo.jobs.run(demo.jobs.start(spec))
    assert results["seconds"] / 10 < estimate["seconds"] < results["seconds"] * 10
    assert results["peak_bytes"] / 3 < estimate["memory_bytes"] < results["peak_bytes"] * 3
    assert results["size_bytes"] < estimate["disk_bytes"], format_size(estimate["disk_bytes"])
    # Another type takes another time, so it is tried; the same one is remembered.
    assert "from job 1" in demo.jobs.plan(spec)["estimate"]["how"]
    other = dataclasses.replace(spec, settings={"type": "Q8_0"})
    assert "from a short trial" in demo.jobs.plan(other)["estimate"]["how"]
