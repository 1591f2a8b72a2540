"""Find graphics cards with their vendors' tools, or with Vulkan."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence

from modules.library.amd_cards import ROCM_SMI, ROCMINFO, add_targets, parse_rocm, parse_rocminfo, rocm_version
from modules.library.nvidia_cards import NVIDIA_SMI, parse_nvidia
from modules.library.nvml import read_nvml
from modules.library.vulkan_cards import find_vulkan_cards
from modules.protocol.model_facts import Gpu

_SECONDS = 10.0


def find_gpus() -> list[Gpu]:
    """Return NVIDIA's and AMD's cards that CUDA_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES leave to this process, or if
    there are none, those that Vulkan shows.

    A tool that is missing, fails or hangs finds no cards.
    """
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    hip = os.environ.get("HIP_VISIBLE_DEVICES", cuda)  # ROCm respects CUDA's too
    found = [*visible_gpus(_nvidia_cards(), cuda), *visible_gpus(_amd_cards(), hip)]
    return found or find_vulkan_cards()


def _nvidia_cards() -> list[tuple[str, Gpu]]:
    """Return NVIDIA's cards as NVML reports them, or nvidia-smi if NVML does not answer."""
    states = read_nvml()
    if states:
        return [(state.uuid, state.gpu) for state in states]
    return parse_nvidia(next(filter(None, map(_run, NVIDIA_SMI)), ""))


def _amd_cards() -> list[tuple[str, Gpu]]:
    cards = parse_rocm(_run(ROCM_SMI))
    return add_targets(cards, parse_rocminfo(_run(ROCMINFO)), rocm_version()) if cards else []


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
            named = [
                dataclasses.replace(card, name=f"slice of {card.name}", total_bytes=0, free_bytes=0)
                for _, card in cards[:1]
            ]
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
