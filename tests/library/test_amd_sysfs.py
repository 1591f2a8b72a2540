"""AMD's cards in files of Linux's driver that were made for the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modules.library.amd_sysfs import read_amd
from modules.library.card_state import CardProcess, bytes_of, describe_health

SLOT = "0000:03:00.0"


def _write(folder: Path, files: Mapping[str, object]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")


def _card(drm: Path, number: int, **changes: object) -> None:
    files: dict[str, object] = {
        "vendor": "0x1002",
        "uevent": f"DRIVER=amdgpu\nPCI_SLOT_NAME={SLOT}",
        "product_name": "Radeon RX 7900 XTX",
        "mem_info_vram_total": 24 << 30,
        "mem_info_vram_used": 5 << 30,
        "hwmon/hwmon3/temp1_input": 61000,
        "hwmon/hwmon3/freq1_input": 1_900_000_000,
        "pp_dpm_sclk": "0: 500Mhz\n1: 1900Mhz *\n2: 2371Mhz",
    }
    _write(drm / f"card{number}" / "device", {**files, **changes})


def _client(client: int, kilobytes: int, driver: str = "amdgpu") -> str:
    memory = f"drm-memory-vram:\t{kilobytes} KiB"
    return f"pos:\t0\ndrm-driver:\t{driver}\ndrm-client-id:\t{client}\ndrm-pdev:\t{SLOT}\n{memory}"


def test_memory_temperature_clock_and_processes_are_read(tmp_path: Path) -> None:
    drm, proc = tmp_path / "drm", tmp_path / "proc"
    _card(drm, 0)
    _card(drm, 1, vendor="0x8086")
    (drm / "card0-HDMI-A-1").mkdir()
    # Two files of one client, and another client.
    files = {"comm": "llama", "fdinfo/5": _client(1, 1024), "fdinfo/6": _client(1, 1024), "fdinfo/7": _client(2, 512)}
    _write(proc / "77", files)
    _write(proc / "78", {"comm": "sh", "fdinfo/0": "pos:\t0", "fdinfo/1": _client(3, 9, driver="i915")})
    (card,) = read_amd(None, drm, proc)
    assert (card.uuid, card.gpu.name, card.gpu.total_bytes, card.gpu.free_bytes) == (
        *(SLOT, "Radeon RX 7900 XTX"),
        *(24 << 30, 19 << 30),
    )
    assert describe_health(card) == "61 °C, 1,900 of 2,371 MHz"
    assert card.processes == (CardProcess(77, "llama", 1536 << 10),)
    assert bytes_of(read_amd([77], drm, proc), [77]) == 1536 << 10
    assert read_amd([78, 79], drm, proc)[0].processes == ()


def test_a_card_without_separate_memory_and_a_system_without_cards_are_left_out(tmp_path: Path) -> None:
    _card(tmp_path / "drm", 0, mem_info_vram_total=0)
    assert read_amd(None, tmp_path / "drm", tmp_path) == []
    assert read_amd(None, tmp_path / "nowhere", tmp_path) == []
