"""Read AMD's cards from the answers of rocm-smi and rocminfo."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from modules.library.nvidia_cards import whole
from modules.protocol.model_facts import Gpu

ROCM_SMI = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--csv")
ROCMINFO = ("rocminfo",)
_VERSION = Path("/opt/rocm/.info/version")


def parse_rocm(output: str) -> list[tuple[str, Gpu]]:
    """Return (name of the device, card) of a CSV table with a header line, one card per line, memory in bytes."""
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if "," in line]
    gpus = []
    for row in rows[1:]:
        card = dict(zip((head.lower() for head in rows[0]), row, strict=False))
        total = whole(next((value for key, value in card.items() if "total memory" in key), ""))
        used = whole(next((value for key, value in card.items() if "used memory" in key), ""))
        name = card.get("card series") or card.get("card model") or card.get("device", "AMD GPU")
        gpus.append((card.get("device", ""), Gpu("rocm", name, total, max(0, total - used))))
    return gpus


def parse_rocminfo(output: str) -> list[str]:
    """Return the targets of the cards ("gfx1100"), in the order of rocminfo's agents."""
    return re.findall(r"^\s*Name:\s+(gfx[0-9a-f]+)\s*$", output, re.MULTILINE)


def rocm_version(file: Path = _VERSION) -> str:
    """Return the version of the installed ROCm, such as "7.2.4"; "" if there is none."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip().partition("-")[0]
    except OSError:
        return ""


def add_targets(cards: list[tuple[str, Gpu]], targets: list[str], rocm: str) -> list[tuple[str, Gpu]]:
    """Return the cards with their targets, if there is one for each, and the version of ROCm."""
    known = targets if len(targets) == len(cards) else [""] * len(cards)
    pairs = zip(cards, known, strict=True)
    return [(name, dataclasses.replace(card, architecture=target, api=rocm)) for (name, card), target in pairs]
