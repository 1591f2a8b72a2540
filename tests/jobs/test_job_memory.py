"""A job that does not fit beside the loaded models: idle ones go first, as for a load."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.families.training_settings import TrainingSettings
from modules.jobs.job_spec import JobSpec
from modules.jobs.train import TrainPlan, fits_training
from modules.library.machine import inspect_machine
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.schema import build
from tests.support.several_models import Server, serve_models

GIB = 1 << 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve three models, with `other` and then `third` loaded beside `tiny`, both idle."""
    for server in serve_models(tmp_path, ("tiny", "other", "third")):
        for name in ("other", "third"):
            assert server.ask(name).status_code == 200
        assert _beside(server.app) == ["other", "third"]
        yield server


def _beside(app: App) -> list[str]:
    return [model.name for model in app.pool.others]


def _leave_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let the machine have so many bytes free, whatever ends."""
    machine = dataclasses.replace(inspect_machine(), free_bytes=free)
    monkeypatch.setattr("modules.loading.memory_planner.inspect_machine", lambda: machine)
    monkeypatch.setattr("modules.loading.memory_planner._FRESH_SECONDS", -1)


def test_idle_models_go_until_the_job_fits_the_longest_unused_first(server: Server) -> None:
    app = server.app
    assert app.planner.make_room(lambda machine: True) == []
    assert app.planner.make_room(lambda machine: len(app.pool.others) < 2) == ["other"]
    assert _beside(app) == ["third"]
    app.pool.others[0].pinned = True
    assert app.planner.make_room(lambda machine: False) == []
    assert _beside(app) == ["third"] and app.supervisor.state.phase == "ready"


def test_a_quantization_unloads_idle_models_where_memory_is_short(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = server.app
    _leave_free(monkeypatch, 1)
    id = app.jobs.start(JobSpec("quantize", "tiny", method="echo"))
    assert app.jobs.run(id)["model"] == "tiny-echo"
    assert _beside(app) == [] and app.supervisor.state.model == "tiny"
    assert "Unloaded to make room: other, third" in app.jobs.log(id)


def test_a_quantization_leaves_all_models_where_memory_is_plenty(server: Server) -> None:
    app = server.app
    id = app.jobs.start(JobSpec("quantize", "tiny", method="echo"))
    app.jobs.run(id)
    assert _beside(app) == ["other", "third"] and "Unloaded" not in app.jobs.log(id)


@pytest.mark.parametrize("cards", [0, 1])
def test_a_training_fits_where_base_adapter_and_activations_do(app: App, cards: int) -> None:
    loader = app.registry.get("transformers")
    facts = ModelFacts(
        "m",
        "/m",
        "safetensors",
        size_bytes=2 * GIB,
        parameters=GIB,
        layer_bytes=2 * GIB,
        layer_parameters=GIB,
        layers=16,
        hidden=2048,
        intermediate=5504,
        vocabulary=32000,
    )

    def fits(free: int, **settings: object) -> bool:
        gpus = (Gpu("cuda", "card", 80 * GIB, free),) * cards
        machine = Machine("linux", "x86_64", 8, 80 * GIB, 80 * GIB if cards else free, gpus)
        return fits_training(TrainPlan(facts, loader, build(TrainingSettings, settings), None, "m-lora"), machine)

    assert fits(40 * GIB) and not fits(GIB)
    # Longer examples, a higher rank and a larger base take more.
    enough = next(gib for gib in range(1, 40) if fits(gib * GIB))
    assert not fits(enough * GIB, cutoff=4096)
    assert not fits(enough * GIB, rank=1024)
    assert not fits((enough - 1) * GIB)
