"""The planner on a real App: what it advises, that it refuses and learns, and that one can go on all the same."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.loading.memory_planner import Advice, PlanError, describe_plan
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.schema import build
from modules.runtime.load_request import LoadRequest
from modules.runtime.memory_watch import MemoryWatch
from modules.settings.config import Config
from tests.support.commands import run_command
from tests.support.models import write_model_folder

TB = 1 << 40


def _advise(app: App, model: str, spec: LoaderSpec, settings: dict[str, int]) -> Advice:
    return app.planner.advise(app.library.facts(model), spec, build(spec.settings, settings))


def _greedy(app: App, process: int) -> LoaderSpec:
    """The echo loader, which then says that it takes `process` bytes and 1 MiB a token."""

    def memory(facts: ModelFacts, settings: Any, machine: Machine) -> Demand:
        return Demand(
            process=process,
            context=settings.context,
            cache_bytes=settings.context << 20,
            batch=0,
            logits=0,
            gpu_layers=-1,
        )

    spec = dataclasses.replace(app.registry.get("echo"), memory=memory)
    app.registry.specs["echo"] = spec
    return spec


def test_a_load_that_does_not_fit_is_refused_before_a_worker_starts(app: App) -> None:
    _greedy(app, TB)
    with pytest.raises(
        PlanError, match=r"tiny was not loaded: this needs about .* press Load anyway, or start"
    ) as info:
        app.models.load("tiny", "echo")
    assert "--load-anyway" in info.value.message
    assert app.supervisor.worker_pid() is None


def test_it_is_loaded_all_the_same_when_told_so(app: App) -> None:
    _greedy(app, TB)
    app.models.load("tiny", "echo", anyway=True)
    assert app.supervisor.state.phase == "ready"


def test_a_flag_lets_every_load_through(config: Config) -> None:
    app = App(dataclasses.replace(config, load_anyway=True))
    try:
        _greedy(app, TB)
        app.models.load("tiny", "echo")
        assert app.supervisor.state.phase == "ready"
    finally:
        app.close()


def test_a_refused_load_leaves_the_model_that_is_loaded(echo: App) -> None:
    before = echo.supervisor.worker_pid()
    _greedy(echo, TB)
    with pytest.raises(PlanError):
        echo.models.load("tiny", "echo")
    assert echo.supervisor.worker_pid() == before


def test_the_advice_is_the_largest_context_that_fits(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _greedy(app, 0)
    facts = dataclasses.replace(app.library.facts("tiny"), context=1 << 20)
    monkeypatch.setattr(app.library, "facts", lambda name: facts)
    machine = Machine("linux", "x86_64", 2, TB, 1000 << 20)
    monkeypatch.setattr(app.planner, "machine", lambda *ends: machine)
    advice = _advise(app, "tiny", spec, {"context": 4096})
    # 1000 MiB hold 1000 tokens of 1 MiB less the few bytes of the weights: the step below is 768.
    assert advice.context == 768
    assert "Lower Context length to 768" in advice.obstacle
    assert _advise(app, "tiny", spec, {"context": 768}).obstacle == ""
    shown = describe_plan(advice)
    assert (shown["fits"], shown["largest_context"], shown["context"]) == (False, 768, 4096)


def test_the_advice_is_the_layers_that_fit_the_card(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = app.registry.get("llamacpp")
    facts = ModelFacts(
        "tiny",
        "/m",
        "gguf",
        size_bytes=40 << 30,
        parameters=1 << 30,
        layer_bytes=40 << 30,
        layer_parameters=1 << 30,
        layers=40,
        context=512,
    )
    monkeypatch.setattr(app.library, "facts", lambda name: facts)
    card = Gpu("cuda", "card", 24 << 30, 20 << 30)
    machine = Machine("linux", "x86_64", 2, TB, TB, (card,), compilers=("nvcc",))
    monkeypatch.setattr(app.environments, "machine", machine)
    monkeypatch.setattr(app.planner, "machine", lambda *ends: machine)
    # A GiB a layer: 20 GiB hold 19 beside the engine and its buffers, and the head, which counts as one.
    advice = _advise(app, "tiny", spec, {})
    assert advice.gpu_layers == 20
    assert "Lower GPU layers to 20." in advice.obstacle


def test_what_a_load_took_corrects_later_plans_and_outlives_the_app(config: Config) -> None:
    app = App(config)
    try:
        spec = app.registry.get("echo")
        assert not _advise(app, "tiny", spec, {}).plan.measured
        app.models.load("tiny", "echo")
        held = app.supervisor.memory_bytes()
        learned = _advise(app, "tiny", spec, {}).plan
        assert learned.measured
        assert learned.total >= learned.at_load == pytest.approx(held, rel=0.05)
        assert _advise(app, "tiny", spec, {"context": 8192}).plan.measured
        assert not _advise(app, "tiny", app.registry.get("transformers"), {}).plan.measured
    finally:
        app.close()
    again = App(config)
    try:
        assert _advise(again, "tiny", again.registry.get("echo"), {}).plan.measured
        write_model_folder(config.paths.models / "twin")
        assert not _advise(again, "twin", again.registry.get("echo"), {}).plan.measured
    finally:
        again.close()


def test_the_memory_of_the_worker_that_a_load_ends_counts_as_free(echo: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.loading.memory_planner._FRESH_SECONDS", -1)
    monkeypatch.setattr(
        "modules.loading.memory_planner.inspect_machine", lambda: Machine("linux", "x86_64", 2, TB, 1000)
    )
    assert echo.planner.machine().free_bytes == pytest.approx(1000 + echo.supervisor.memory_bytes(), rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the peak of a process for others to read")
def test_a_watch_keeps_the_peak_of_a_process_that_gave_it_back() -> None:
    code = "input(); x = bytearray(80_000_000); del x; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        watch = MemoryWatch(process.pid, "/no/model")
        assert watch.usage() == (0, 0)
        before = watch.record_load()
        _next(process)
        assert watch.usage()[0] == before
        assert watch.usage()[1] >= before + 70_000_000
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports which pages were read")
def test_pages_of_the_models_file_count_once_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(bytes(80_000_000))
    code = (
        f"import mmap; f = open({str(file)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "read = lambda part: sum(m[at] for at in range(0, part, 4096))\n"
        "read(len(m)); print(flush=True); input(); read(len(m) // 2); print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        watch = MemoryWatch(process.pid, str(file))
        before = watch.record_load()
        assert watch.usage() == (0, 0)
        _next(process)
        assert watch.usage()[0] == pytest.approx(before - 40_000_000, abs=5_000_000)
        assert process.stdin is not None
        process.stdin.close()


def _next(process: subprocess.Popen[bytes]) -> None:
    """Let it go on, to the next line that it prints."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()


def test_inspect_tells_the_plan_of_each_loader(config: Config) -> None:
    folders = ["--models", str(config.paths.models), "--user-data", str(config.paths.user_data)]
    answer = json.loads(run_command(config.root, "inspect", "tiny", "--json", *folders).stdout)
    (entry,) = [entry for entry in answer["loaders"] if entry["loader"] == "transformers"]
    (main,) = [share for share in entry["plan"]["devices"] if share["device"] == "Main memory"]
    assert main["total"] == sum(main[part] for part in ("weights", "cache", "compute", "process"))
    assert entry["plan"]["fits"]


def _choice(app: App, own: str, free: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Return what the plan chooses for own_caches, and the bytes of the cache, with `free` bytes of main memory."""
    spec = app.registry.get("xllamacpp")
    facts = ModelFacts("tiny", "/m", "gguf", size_bytes=1 << 30, context=8192, layers=16, kv_heads=8, head_dim=128)
    monkeypatch.setattr(app.library, "facts", lambda name: facts)
    monkeypatch.setattr(app.planner, "machine", lambda *ends: Machine("linux", "x86_64", 2, TB, free))
    settings = build(spec.settings, {"own_caches": own})
    request = app.planner.choose_automatic(LoadRequest(facts, spec, settings), [])
    chosen = str(getattr(request.used_settings, "own_caches"))  # noqa: B009 (the type has no such field)
    assert request.settings == settings
    return chosen, app.planner.advise(facts, spec, settings).plan.shares[0].cache


def test_own_caches_are_used_where_the_plan_leaves_a_quarter_of_the_memory(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Layers × heads × head size × tokens × two numbers of two bytes.
    one = 16 * 8 * 128 * 8192 * 4
    assert _choice(app, "auto", 8 << 30, monkeypatch) == ("on", 2 * one)
    assert _choice(app, "auto", 5 << 29, monkeypatch) == ("off", one)
    assert _choice(app, "on", 5 << 29, monkeypatch) == ("on", 2 * one)
    assert _choice(app, "off", 8 << 30, monkeypatch) == ("off", one)


def test_a_saved_switch_of_an_earlier_version_still_means_the_same(app: App) -> None:
    spec = app.registry.get("xllamacpp")
    assert [build(spec.settings, {"own_caches": value}).own_caches for value in (True, False)] == ["on", "off"]
