"""Read AMD's cards from Linux's amdgpu driver: memory, processes, temperature, clock.

Source: https://docs.kernel.org/gpu/amdgpu/driver-misc.html and drm-usage-stats.html.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from modules.library.card_state import CardProcess, CardState
from modules.protocol.model_facts import Gpu

_DRM = Path("/sys/class/drm")
_PROC = Path("/proc")
_AMD = "0x1002"


def read_amd(only: Collection[int] | None = None, drm: Path = _DRM, proc: Path = _PROC) -> list[CardState]:
    """Return AMD's cards with separate memory. Only processes of this user can be seen. `only`: look at no others."""
    folders = [card / "device" for card in sorted(drm.glob("card[0-9]*")) if re.fullmatch(r"card\d+", card.name)]
    cards = {_slot(folder): folder for folder in folders if _text(folder / "vendor") == _AMD}
    cards = {slot: folder for slot, folder in cards.items() if _number(folder / "mem_info_vram_total")}
    users = _users(proc, only) if cards else {}
    return [_read(folder, slot, users.get(slot, {})) for slot, folder in cards.items()]


def _read(folder: Path, slot: str, users: dict[int, CardProcess]) -> CardState:
    total, used = _number(folder / "mem_info_vram_total"), _number(folder / "mem_info_vram_used")
    sensors = next(iter(sorted(folder.glob("hwmon/hwmon*"))), folder)
    gpu = Gpu("rocm", _text(folder / "product_name") or "AMD GPU", total, max(0, total - used))
    return CardState(
        slot,
        gpu,
        tuple(users.values()),
        _number(sensors / "temp1_input") // 1000,
        _number(sensors / "freq1_input") // 1_000_000,
        _top_clock(_text(folder / "pp_dpm_sclk")),
    )


def _users(proc: Path, only: Collection[int] | None) -> dict[str, dict[int, CardProcess]]:
    """Return slot of the card -> process -> what it uses. A client that is open several times counts once."""
    found: dict[str, dict[int, CardProcess]] = {}
    for process in proc.glob("[0-9]*") if only is None else [proc / str(pid) for pid in only]:
        clients: dict[str, tuple[str, int]] = {}
        try:
            for file in (process / "fdinfo").iterdir():
                fields = dict(re.findall(r"^(drm-[\w-]+):\s*(\S+)", file.read_text(errors="replace"), re.MULTILINE))
                if fields.get("drm-driver") == "amdgpu":
                    used = fields.get("drm-memory-vram", "0")
                    clients[fields.get("drm-client-id", file.name)] = fields.get("drm-pdev", ""), int(used) << 10
        except (OSError, ValueError):
            continue
        for slot, used in clients.values():
            pid = int(process.name)
            known = found.setdefault(slot, {}).get(pid)
            total = used + (known.used_bytes if known else 0)
            found[slot][pid] = CardProcess(pid, _text(process / "comm") or f"process {pid}", total)
    return found


def _slot(folder: Path) -> str:
    """Return the card's place on the bus, such as 0000:03:00.0."""
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", _text(folder / "uevent"), re.MULTILINE)
    return found[1] if found else folder.parent.name


def _top_clock(table: str) -> int:
    """Return the highest clock of lines such as "1: 2371Mhz *", in MHz."""
    return max((int(clock) for clock in re.findall(r"(\d+)Mhz", table)), default=0)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> int:
    text = _text(file)
    return int(text) if text.isdecimal() else 0
