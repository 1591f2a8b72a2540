"""What all graphics cards report now, from the drivers that say more than how much memory is free."""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil

from modules.library.amd_sysfs import read_amd
from modules.library.card_state import CardState, bytes_of, describe_others
from modules.library.nvml import read_nvml


def read_cards() -> list[CardState]:
    """Return NVIDIA's cards (NVML) and AMD's (Linux's amdgpu driver); [] if no driver answers."""
    return [*read_nvml(), *read_amd()]


def card_memory_of(pids: Collection[int]) -> int:
    """Return the bytes of all cards' memory that these processes use; 0 if no driver says.

    In a container the drivers may list the processes by other numbers. Then nothing is found.
    """
    return bytes_of([*read_nvml(), *read_amd(pids)], pids)


def free_on_cards() -> int:
    """Return the free bytes of all cards together; 0 if no driver says."""
    return sum(card.gpu.free_bytes for card in read_cards())


def other_programs(cards: Collection[CardState] | None = None) -> str:
    """Return a sentence that names the programs besides Paddock's that use cards; "" if there are none."""
    states = read_cards() if cards is None else cards
    own = own_processes() if states else set()
    found = [(card, describe_others(card, own)) for card in states]
    return " ".join(f"{card.gpu.name} is also used by {names}." for card, names in found if names)


def own_processes() -> set[int]:
    """Return the processes of Paddock: this one and all that it started."""
    try:
        here = psutil.Process(os.getpid())
        return {here.pid, *(child.pid for child in here.children(recursive=True))}
    except psutil.Error:
        return {os.getpid()}
