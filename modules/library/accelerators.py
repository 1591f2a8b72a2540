"""Graphics processors, as their makers' own tools tell them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from modules.protocol.model import Gpu

_SECONDS = 10.0
_NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_AMD = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--csv")


def find_gpus() -> list[Gpu]:
    """NVIDIA's and AMD's cards. A tool that is absent, fails or hangs finds none."""
    return [*parse_nvidia(_run(_NVIDIA)), *parse_rocm(_run(_AMD))]


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


def parse_nvidia(output: str) -> list[Gpu]:
    """Lines such as "NVIDIA H200, 143771, 143000" (MiB); a card that does not tell its memory counts with 0."""
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in output.splitlines() if line.count(",") >= 2]
    return [Gpu("cuda", name, _whole(total) << 20, _whole(free) << 20) for name, total, free in rows]


def parse_rocm(output: str) -> list[Gpu]:
    """A CSV table with a header line, one card a line, memory in bytes."""
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if "," in line]
    gpus = []
    for row in rows[1:]:
        card = dict(zip((head.lower() for head in rows[0]), row, strict=False))
        total = _whole(next((value for key, value in card.items() if "total memory" in key), ""))
        used = _whole(next((value for key, value in card.items() if "used memory" in key), ""))
        name = card.get("card series") or card.get("card model") or card.get("device", "AMD GPU")
        gpus.append(Gpu("rocm", name, total, max(0, total - used)))
    return gpus


def _whole(word: str) -> int:
    return int(word) if word.isdigit() else 0
