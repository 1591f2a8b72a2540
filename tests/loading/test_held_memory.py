"""What a loaded model frees when it ends, and what it may still take, on each device."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modules.app import App
from modules.library.memory_plan import MAIN_MEMORY, DeviceShare, MemoryPlan, plan_memory
from modules.loading.held_memory import add_freed, subtract_unused
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from tests.support.models import write_model_folder

GB = 1 << 30
CARD = Gpu("cuda", "card", 24 * GB, 10 * GB)
MACHINE = Machine("linux", "x86_64", 2, 32 * GB, 8 * GB, (CARD, CARD))
SHARES = (
    DeviceShare(MAIN_MEMORY, 0, weights=5 * GB, cache=GB),
    DeviceShare("card", 0, weights=3 * GB, cache=GB, compute=GB),
)
PLAN = MemoryPlan(SHARES, 4096, 32, 32, 6 * GB)


def test_what_a_model_frees_is_what_it_holds_and_its_plan_on_cards() -> None:
    after = add_freed(MACHINE, PLAN, 2 * GB)
    assert after.free_bytes == 10 * GB
    assert [gpu.free_bytes for gpu in after.gpus] == [14 * GB, 10 * GB]


def test_what_cards_report_of_a_model_comes_before_its_plan() -> None:
    after = add_freed(MACHINE, PLAN, 2 * GB, on_cards=7 * GB)
    assert [gpu.free_bytes for gpu in after.gpus] == [17 * GB, 10 * GB]


def test_of_two_equal_cards_the_one_that_the_model_used_is_freed() -> None:
    demand = Demand(as_llama_cpp=True, gpu_layers=-1, gpu_cards=(1,), context=512, batch=0)
    facts = ModelFacts("m", "/m", "gguf", size_bytes=2 * GB, layer_bytes=2 * GB, layers=2, kv_heads=1, head_dim=1)
    plan = plan_memory(facts, demand, MACHINE)
    assert [share.device for share in plan.shares[1:]] == ["card"]
    after = add_freed(MACHINE, plan, 0)
    assert after.gpus[0].free_bytes == 10 * GB and after.gpus[1].free_bytes > 11 * GB


def test_planned_memory_that_a_model_does_not_hold_yet_is_not_free() -> None:
    """Mapped weights count as available memory in the system's figures."""
    after = subtract_unused(MACHINE, PLAN, 2 * GB)
    assert after.free_bytes == 4 * GB
    assert [gpu.free_bytes for gpu in after.gpus] == [9 * GB, 10 * GB]
    assert subtract_unused(MACHINE, PLAN, 7 * GB).free_bytes == 8 * GB


def test_free_memory_has_bounds() -> None:
    assert add_freed(MACHINE, PLAN, 100 * GB).free_bytes == 32 * GB
    assert subtract_unused(dataclasses.replace(MACHINE, free_bytes=GB), PLAN, 0).free_bytes == 0


def test_a_load_counts_what_the_models_that_stay_have_planned(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(facts: ModelFacts, settings: Any, machine: Machine) -> Demand:
        return Demand(process=2 * GB, context=4096, cache_bytes=0, batch=0, logits=0, gpu_layers=0)

    app.registry.specs["echo"] = dataclasses.replace(app.registry.get("echo"), memory=memory)
    write_model_folder(app.paths.models / "other")
    free = Machine("linux", "x86_64", 2, 32 * GB, 3 * GB)
    monkeypatch.setattr("modules.loading.memory_planner.inspect_machine", lambda: free)
    # What a load measures corrects later plans, and this one takes less than it says.
    monkeypatch.setattr("modules.loading.measured_memory.MemoryMeasurements.find", lambda self, key: None)
    app.models.load("tiny", "echo")
    app.loaders.save(app.models.check_load("other", "echo"))
    assert app.planner.machine().free_bytes > 3 * GB
    # `tiny` may still take nearly 2 GB, so there is no room for another one of 2 GB.
    assert app.planner.machine(ends=()).free_bytes < 1.2 * GB
    assert not app.models.has_room_beside("other")
    monkeypatch.setattr(
        "modules.loading.memory_planner.inspect_machine", lambda: dataclasses.replace(free, free_bytes=5 * GB)
    )
    monkeypatch.setattr("modules.loading.memory_planner._FRESH_SECONDS", -1)
    assert app.models.has_room_beside("other")
