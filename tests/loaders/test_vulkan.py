"""llama.cpp on a device that is none: Vulkan on the processor. Layers, splits and allocations are those of a card."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loaders.llamacpp.spec import SPEC
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.memory_plan import MemoryPlan, memory_demand, plan_memory
from modules.library.vulkan_cards import find_vulkan_cards
from modules.protocol.model_facts import Machine
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from tests.support.environments import installed
from tests.support.environments import not_here as loader_not_here
from tests.support.vulkan_llama import not_here, vulkan_environment

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "demo.Q8_0.gguf"
# The demo model has six layers.
CASES: dict[str, dict[str, Any]] = {
    "none": {"gpu_layers": 0},
    "three": {"gpu_layers": 3},
    "all": {"gpu_layers": 99},
    "split": {"gpu_layers": 99, "tensor_split": "3,1"},
    "second alone": {"gpu_layers": 99, "devices": "Vulkan1"},
    "no cache": {"gpu_layers": 99, "offload_kv": False},
    "head in main memory": {"gpu_layers": 99, "override_tensor": r"ffn_(up|gate|down)=CPU"},
}
MEBIBYTE = 1 << 20
# Mesa 22.3's device on the processor crashes now and then (in libvulkan_lvp.so).
_TRIES = 4


@pytest.fixture(scope="module")
def variables(environments: Environments) -> dict[str, str]:
    if reason := not_here() or loader_not_here(SPEC, environments):
        pytest.skip(reason)
    return {**vulkan_environment(installed(SPEC, environments)), "GGML_VK_VISIBLE_DEVICES": "0,0"}


@pytest.fixture(scope="module")
def answers(variables: dict[str, str], environments: Environments) -> dict[str, dict[str, str]]:
    """Return the text and the log of each case. One process loads them one after another."""
    command = [environments.python(SPEC), "-m", "tests.support.vulkan_layers", MODEL, *map(json.dumps, CASES.values())]
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    for _ in range(_TRIES):
        answer = subprocess.run(
            list(map(str, command)), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=560
        )
        if answer.returncode != -signal.SIGSEGV:
            break
    assert answer.returncode == 0, answer.stderr[-3000:]
    lines = map(json.loads, answer.stdout.splitlines())
    return dict(zip(CASES, lines, strict=True))


@pytest.fixture
def machine(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Return this machine with the devices that Paddock finds by itself."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield inspect_machine()


def _buffers(log: str, what: str) -> dict[str, float]:
    """Return device -> MiB of the lines such as "Vulkan0 model buffer size = 4.79 MiB"."""
    found: dict[str, float] = {}
    for device, size in re.findall(rf"(\w+) +{what} buffer size = +([\d.]+) MiB", log):
        found[device] = found.get(device, 0.0) + float(size)
    return found


def test_paddock_finds_the_devices_that_the_variable_names(machine: Machine) -> None:
    first, second = machine.gpus
    assert first == second
    assert (first.kind, "llvmpipe" in first.name) == ("vulkan", True)
    assert 0 < first.free_bytes <= first.total_bytes
    assert machine.vulkan


def test_a_processor_is_no_card_unless_it_is_named(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", variables["VK_DRIVER_FILES"])
    monkeypatch.delenv("GGML_VK_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("modules.library.vulkan_cards._has_card", lambda: True)
    assert find_vulkan_cards() == []


@pytest.mark.parametrize("name", [name for name in CASES if name != "none"])
def test_the_text_is_the_same_wherever_the_layers_are(name: str, answers: dict[str, dict[str, str]]) -> None:
    assert len(answers["none"]["text"]) > 20
    assert answers[name]["text"] == answers["none"]["text"]


@pytest.mark.parametrize(("name", "layers"), [("none", 0), ("three", 3), ("all", 7), ("split", 7), ("second alone", 7)])
def test_the_layers_are_where_the_setting_says(name: str, layers: int, answers: dict[str, dict[str, str]]) -> None:
    assert f"offloaded {layers}/7 layers to GPU" in answers[name]["log"]


def _plan(name: str, machine: Machine) -> MemoryPlan:
    facts = detect(MODEL, MODEL.name)
    demand = memory_demand(facts, SPEC, build(SPEC.settings, CASES[name]), machine)
    return plan_memory(facts, demand, machine)


@pytest.mark.parametrize("name", ["three", "all", "split", "second alone", "no cache"])
def test_the_plan_of_each_device_is_what_the_engine_allocates(
    name: str, answers: dict[str, dict[str, str]], machine: Machine
) -> None:
    cards = tuple(dataclasses.replace(gpu, name=f"Vulkan{number}") for number, gpu in enumerate(machine.gpus))
    shares = _plan(name, dataclasses.replace(machine, gpus=cards)).shares[1:]
    weights, cache = _buffers(answers[name]["log"], "model"), _buffers(answers[name]["log"], "KV")
    compute = _buffers(answers[name]["log"], "compute")
    assert {share.device for share in shares} == {device for device in weights if re.fullmatch(r"Vulkan\d", device)}
    for share in shares:
        # The file's header counts as weights.
        assert share.weights / MEBIBYTE == pytest.approx(weights[share.device], rel=0.02, abs=0.06)
        assert share.cache / MEBIBYTE == pytest.approx(cache.get(share.device, 0), abs=0.01)
        # The device that computes the widest layer allocates most; the plan takes that for each.
        assert 0.8 * compute.get(share.device, 0) <= share.compute / MEBIBYTE <= 40
