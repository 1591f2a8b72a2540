"""Find graphics cards with their vendors' tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from modules.protocol.model_facts import Gpu

_SECONDS = 10.0
_NVIDIA = ("nvidia-smi", "--query-gpu=uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits")
_AMD = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--csv")


def find_gpus() -> list[Gpu]:
    """Return NVIDIA's and AMD's cards that CUDA_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES leave to this process.

    A tool that is missing, fails or hangs finds no cards.
    """
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    hip = os.environ.get("HIP_VISIBLE_DEVICES", cuda)  # ROCm respects CUDA's too
    return [*visible_gpus(parse_nvidia(_run(_NVIDIA)), cuda), *visible_gpus(parse_rocm(_run(_AMD)), hip)]


def visible_gpus(cards: Sequence[tuple[str, Gpu]], wanted: str | None) -> list[Gpu]:
    """Return the cards that `wanted` names by number or by the start of a UUID; all if it is None.

    `cards` has (UUID, card) pairs.

    The list ends at the first entry that names no card, so "" and "-1" leave none. A slice of a card (MIG-...) counts
    as a card of unknown memory. CUDA numbers the fastest card first, nvidia-smi numbers by bus. If cards differ, a
    number is only certain with CUDA_DEVICE_ORDER=PCI_BUS_ID. Source:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables
    """
    if wanted is None:
        return [card for _, card in cards]
    found: list[Gpu] = []
    for entry in map(str.strip, wanted.split(",")):
        if entry.isdecimal():
            named = [card for _, card in cards[int(entry) :][:1]]
        elif entry.startswith("MIG-"):
            named = [Gpu(card.kind, f"slice of {card.name}") for _, card in cards[:1]]
        else:
            named = [card for uuid, card in cards if entry and uuid.startswith(entry)]
        if len(named) != 1:
            break
        found += named
    return found


def _run(command: Sequence[str]) -> str:
    program = shutil.which(command[0])
    if not program:
        return ""
    try:
        result = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def parse_nvidia(output: str) -> list[tuple[str, Gpu]]:
    """Return (UUID, card) of lines such as "GPU-8f, NVIDIA H200, 143771, 143000" (MiB). Unknown memory is 0."""
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in output.splitlines() if line.count(",") >= 3]
    heads = [head.partition(",") for head, _, _ in rows]
    return [
        (uuid, Gpu("cuda", name.strip(), _whole(total) << 20, _whole(free) << 20))
        for (uuid, _, name), (_, total, free) in zip(heads, rows, strict=True)
    ]


def parse_rocm(output: str) -> list[tuple[str, Gpu]]:
    """Return (name of the device, card) of a CSV table with a header line, one card per line, memory in bytes."""
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if "," in line]
    gpus = []
    for row in rows[1:]:
        card = dict(zip((head.lower() for head in rows[0]), row, strict=False))
        total = _whole(next((value for key, value in card.items() if "total memory" in key), ""))
        used = _whole(next((value for key, value in card.items() if "used memory" in key), ""))
        name = card.get("card series") or card.get("card model") or card.get("device", "AMD GPU")
        gpus.append((card.get("device", ""), Gpu("rocm", name, total, max(0, total - used))))
    return gpus


def _whole(word: str) -> int:
    return int(word) if word.isdigit() else 0
