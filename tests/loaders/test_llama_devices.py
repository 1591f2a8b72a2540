"""The devices that the loaders of llama.cpp use are those of the setting, and no others."""

from __future__ import annotations

import dataclasses
import shutil
from enum import Enum, auto
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loaders.llamacpp.spec import SPEC as LLAMACPP
from loaders.xllamacpp.devices import set_devices
from loaders.xllamacpp.spec import SPEC as XLLAMACPP
from modules.app import App
from modules.library.memory_plan import memory_demand, plan_memory
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.worker.llama.devices import chosen_devices
from tests.conftest import ROOT
from tests.support.environments import installed, not_here

GIB = 1 << 30
CARDS = tuple(Gpu("cuda", f"card {number}", 8 * GIB, 8 * GIB) for number in range(3))
MACHINE = Machine("linux", "x86_64", 4, 8 << 30, 4 << 30, CARDS)


class Kind(Enum):
    """Stands for ggml_backend_dev_type, which only the loader's environment has."""

    GGML_BACKEND_DEVICE_TYPE_CPU = auto()
    GGML_BACKEND_DEVICE_TYPE_GPU = auto()
    GGML_BACKEND_DEVICE_TYPE_IGPU = auto()


def _device(name: str, kind: str, identity: str = "", free: int = 8) -> dict[str, Any]:
    found = Kind[f"GGML_BACKEND_DEVICE_TYPE_{kind}"]
    return {"name": name, "type": found, "device_id": identity, "memory_free": free * GIB}


LISTED = [
    _device("CUDA0", "GPU", "0000:01"),
    _device("CUDA1", "GPU", "0000:02", 4),
    _device("Vulkan0", "GPU", "0000:01"),
    _device("CUDA2", "GPU", "", 2),
    _device("Vulkan9", "IGPU", "0000:09"),
    _device("CPU", "CPU"),
]


def _set(listed: list[dict[str, Any]], **settings: Any) -> SimpleNamespace:
    """Return CommonParams after `set_devices`, with the first three shares."""
    modes = SimpleNamespace(**{f"LLAMA_SPLIT_MODE_{name}": name.lower() for name in ("NONE", "LAYER", "ROW")})
    engine = SimpleNamespace(llama_split_mode=modes, ggml_backend_dev_type=Kind, get_device_info=lambda: listed)
    params = SimpleNamespace(split_mode="", main_gpu=0, tensor_split=[0.0] * 16, mmproj_device="")
    set_devices(engine, params, build(XLLAMACPP.settings, settings))  # type: ignore[arg-type]
    assert len(params.tensor_split) == 16
    params.tensor_split = params.tensor_split[:3]
    return params


def test_one_device_is_used_alone() -> None:
    params = _set(LISTED, devices="cuda1", tensor_split="3,1")
    assert (params.split_mode, params.main_gpu, params.tensor_split) == ("none", 1, [0, 0, 0])
    assert params.mmproj_device == "CUDA1"
    params = _set(LISTED[4:], devices="Vulkan9")
    assert (params.split_mode, params.main_gpu) == ("none", 0)


def test_several_devices_share_by_free_memory_or_by_the_split() -> None:
    params = _set(LISTED, devices="CUDA0, CUDA2")
    assert (params.split_mode, params.tensor_split) == ("layer", [8 * 1024, 0, 2 * 1024])
    params = _set(LISTED, devices="CUDA2,CUDA0", tensor_split="3,1", split_mode="row")
    assert (params.split_mode, params.tensor_split) == ("row", [1, 0, 3])
    params = _set(LISTED, devices="CUDA2,CUDA0", split_mode="none", main_gpu=1)
    assert (params.split_mode, params.main_gpu) == ("none", 0)


def test_without_names_all_devices_are_used_as_before() -> None:
    params = _set([], tensor_split="3,1", main_gpu=2)
    assert (params.split_mode, params.main_gpu, params.tensor_split) == ("layer", 2, [3, 1, 0])
    assert params.mmproj_device == ""


@pytest.mark.parametrize(
    "listed, named, words",
    [
        (LISTED, "CUDA0,CUDA7", r"cannot be CUDA7: the devices here are CUDA0, CUDA1, CUDA2\. Correct it"),
        # The second name of a card that is used already, and integrated graphics beside cards.
        (LISTED, "Vulkan0", "cannot be Vulkan0"),
        (LISTED, "Vulkan9", "cannot be Vulkan9"),
        (LISTED[5:], "CPU", "cannot be CPU: llama.cpp finds no graphics card here"),
    ],
)
def test_another_name_is_answered_with_those_that_there_are(
    listed: list[dict[str, Any]], named: str, words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        _set(listed, devices=named)


def test_devices_are_used_once_and_in_the_order_of_the_setting() -> None:
    settings = build(LLAMACPP.settings, {"devices": "vulkan1, CUDA0,Vulkan1,"})
    assert chosen_devices(settings, ["CUDA0", "Vulkan0", "Vulkan1"]) == ["Vulkan1", "CUDA0"]
    assert chosen_devices(build(LLAMACPP.settings, {}), ["CUDA0"]) == []


@pytest.mark.parametrize(
    "settings, layers",
    [
        ({}, [10, 3, 3]),
        ({"tensor_split": "3,1"}, [13, 3, 0]),
        ({"devices": "CUDA1"}, [0, 16, 0]),
        ({"devices": "CUDA0,CUDA2"}, [12, 0, 4]),
        ({"devices": "CUDA2,CUDA0", "tensor_split": "3,1"}, [5, 0, 11]),
        ({"devices": "CUDA1,CUDA2", "split_mode": "none", "main_gpu": 1}, [0, 0, 16]),
        ({"split_mode": "none", "main_gpu": 1}, [0, 16, 0]),
        ({"devices": "anything"}, [10, 3, 3]),
    ],
)
def test_the_plan_counts_the_named_devices_by_their_free_memory_if_no_split_is_given(
    settings: dict[str, Any], layers: list[int]
) -> None:
    cards = [Gpu("cuda", f"card {number}", size << 30, size << 30) for number, size in enumerate((24, 8, 12))]
    machine = dataclasses.replace(MACHINE, gpus=tuple(cards))
    facts = ModelFacts("m.gguf", "m.gguf", "gguf", layers=16, kv_heads=1, head_dim=1, hidden=1, vocabulary=1)
    for spec in (LLAMACPP, XLLAMACPP):
        # The head goes last, and counts as a layer that has no cache.
        asked = build(spec.settings, {**settings, "context": 16, "gpu_layers": 99})
        planned = plan_memory(facts, memory_demand(facts, spec, asked, machine), machine)
        shares = {share.device: share for share in planned.shares}
        each = 2 * 2 * 16
        assert [shares[card.name].cache // each if card.name in shares else 0 for card in cards] == layers


@pytest.mark.parametrize("loader", ["xllamacpp", "llamacpp"])
def test_the_engine_is_asked_for_its_devices(loader: str, app: App, environments: Environments, tmp_path: Path) -> None:
    spec = Registry(ROOT / "loaders").get(loader)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    shutil.copy(ROOT / "models" / "demo.Q8_0.gguf", tmp_path / "models")
    with pytest.raises(PaddockError) as caught:
        app.models.load("demo.Q8_0.gguf", loader, {"devices": "Nonsense0"})
    assert "Devices (devices) cannot be Nonsense0: " in caught.value.message
