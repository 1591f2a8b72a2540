"""Limits of containers, and the output of the accelerators' tools."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from modules.library.accelerators import find_gpus, visible_gpus
from modules.library.amd_cards import add_targets, parse_rocm, parse_rocminfo, rocm_version
from modules.library.container import ControlGroups
from modules.library.nvidia_cards import cuda_of_driver, parse_nvidia
from modules.library.vulkan_cards import parse_vulkan
from modules.protocol.model_facts import Gpu


def _groups(folder: Path, own: str, files: dict[str, str]) -> ControlGroups:
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return ControlGroups(folder / "mount", folder / "own")


def test_limits_of_version_2_are_read_without_the_page_cache(tmp_path: Path) -> None:
    files = {
        "app/cpu.max": "150000 100000\n",
        "app/memory.max": "4000\n",
        "app/memory.current": "3000\n",
        "app/memory.stat": "anon 1000\ninactive_file 500\n",
    }
    groups = _groups(tmp_path, "0::/app\n", files)
    assert groups.processors() == 1.5
    assert groups.memory() == (4000, 2500)


def test_limits_of_version_1_are_read_as_a_container_sees_them(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "200000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "4000\n",
        "memory/memory.usage_in_bytes": "3000\n",
        "memory/memory.stat": "total_inactive_file 1000\n",
    }
    groups = _groups(tmp_path, "4:memory:/host/path\n1:cpu,cpuacct:/host/path\n", files)
    assert groups.processors() == 2
    assert groups.memory() == (4000, 2000)


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    unlimited = {"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.current": "3000\n"}
    assert _groups(tmp_path / "v2", "0::/\n", {"x": "", **unlimited}).memory() == (0, 0)
    assert ControlGroups(tmp_path / "v2" / "mount", tmp_path / "v2" / "own").processors() == 0
    old = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "3000\n",
    }
    assert _groups(tmp_path / "v1", "", old).memory() == (0, 0)
    assert ControlGroups(tmp_path / "v1" / "mount", tmp_path / "v1" / "own").processors() == 0
    assert ControlGroups(tmp_path / "none", tmp_path / "none").memory() == (0, 0)


def test_nvidia_cards_are_read_from_their_tools_table() -> None:
    table = "GPU-8f, NVIDIA H200, 143771, 143000\nGPU-9a, NVIDIA Orin, [N/A], [N/A]\n\n"
    assert parse_nvidia(table) == [
        ("GPU-8f", Gpu("cuda", "NVIDIA H200", 143771 << 20, 143000 << 20)),
        ("GPU-9a", Gpu("cuda", "NVIDIA Orin")),
    ]
    assert parse_nvidia("No devices were found\n") == []


def test_the_driver_says_which_cuda_it_supports() -> None:
    table = "GPU-8f, NVIDIA GeForce RTX 4090, 24564, 24000, 570.86.10, 8.9\nGPU-9a, Orin, [N/A], [N/A], 610.1, [N/A]\n"
    assert parse_nvidia(table) == [
        ("GPU-8f", Gpu("cuda", "NVIDIA GeForce RTX 4090", 24564 << 20, 24000 << 20, "8.9", "570.86.10", "12.8")),
        ("GPU-9a", Gpu("cuda", "Orin", driver="610.1", api="13.2")),
    ]
    drivers = ("595.71.05", "580.65.06", "579.1", "525.60.13", "470.42.01", "396.1", "unknown", "")
    assert [cuda_of_driver(driver) for driver in drivers] == [
        *("13.2", "13.0", "12.9", "12.0", "11.4", "9.0", "", ""),
    ]


def test_amd_targets_are_read_from_rocminfo() -> None:
    agents = (
        "Agent 1\n  Name:                    AMD Ryzen 9 7950X\n  Marketing Name:          AMD Ryzen 9\n"
        "Agent 2\n  Name:                    gfx1100\n      Name:                    amdgcn-amd-amdhsa--gfx1100\n"
        "Agent 3\n  Name:                    gfx90a\n"
    )
    assert parse_rocminfo(agents) == ["gfx1100", "gfx90a"]
    cards = [("card0", Gpu("rocm", "a")), ("card1", Gpu("rocm", "b"))]
    named = [card for _, card in add_targets(cards, ["gfx1100", "gfx90a"], "7.2.4")]
    assert [(card.architecture, card.api) for card in named] == [("gfx1100", "7.2.4"), ("gfx90a", "7.2.4")]
    # A processor's own graphics is an agent too. Which target is whose is not certain then.
    assert {card.architecture for _, card in add_targets(cards, ["gfx1100"], "7.2.4")} == {""}


def test_the_version_of_rocm_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("6.4.1-83\n")
    assert rocm_version(tmp_path / "version") == "6.4.1"
    assert rocm_version(tmp_path / "none") == ""


def test_vulkans_cards_are_those_with_memory_or_those_that_are_named() -> None:
    answer = json.dumps(
        [
            {"name": "Intel Graphics", "type": "integrated", "total": 8, "free": 7},
            {"name": "Intel Arc", "type": "discrete", "total": 16, "free": 15},
            {"name": "llvmpipe", "type": "cpu", "total": 4, "free": 3},
        ]
    )
    arc, llvmpipe = Gpu("vulkan", "Intel Arc", 16, 15), Gpu("vulkan", "llvmpipe", 4, 3)
    assert parse_vulkan(answer) == [arc]
    assert parse_vulkan(answer, "2,2,1,7,x") == [llvmpipe, llvmpipe, arc]
    for broken in ("", "[{}]", "segmentation fault", "{}", "[1]"):
        assert parse_vulkan(broken) == []


def test_amd_cards_are_read_from_their_tools_table() -> None:
    table = (
        "device,VRAM Total Memory (B),VRAM Total Used Memory (B),Card Series\n"
        "card0,17163091968,1000000,Radeon RX 7900\n"
    )
    assert parse_rocm(table) == [("card0", Gpu("rocm", "Radeon RX 7900", 17163091968, 17162091968))]
    assert parse_rocm("WARNING: no AMD GPUs\n") == []


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (None, ["a", "b", "c"]),
        ("", []),
        ("-1", []),
        ("1", ["b"]),
        ("2, 0", ["c", "a"]),
        ("0,7,1", ["a"]),
        ("GPU-b", ["b"]),
        ("GPU", []),
        ("MIG-1234", ["slice of a"]),
    ],
)
def test_the_list_of_visible_devices_is_read_as_cuda_does(wanted: str | None, left: list[str]) -> None:
    cards = [(f"GPU-{name}123", Gpu("cuda", name, 8, 8)) for name in "abc"]
    assert [card.name for card in visible_gpus(cards, wanted)] == left


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the tool")
def test_a_hidden_card_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU-8f, NVIDIA H200, 143771, 143000'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [card.name for card in find_gpus() if card.kind == "cuda"] == ["NVIDIA H200"]
    # An older tool refuses fields that it does not know, and is asked again without them.
    tool.write_text("#!/bin/sh\ncase $1 in *compute_cap*) exit 6;; esac\necho 'GPU-8f, NVIDIA K80, 11441, 11000'\n")
    assert [card.name for card in find_gpus() if card.kind == "cuda"] == ["NVIDIA K80"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [card for card in find_gpus() if card.kind == "cuda"] == []
