"""Limits of containers, and the output of the accelerators' tools."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modules.library.accelerators import find_gpus, parse_nvidia, parse_rocm, visible_gpus
from modules.library.container import ControlGroups
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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [card for card in find_gpus() if card.kind == "cuda"] == []
