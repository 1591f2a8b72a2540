"""What a loaded model frees when it ends, and what it may still take while it stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from modules.library.memory_plan import DeviceShare, MemoryPlan, twins
from modules.protocol.model_facts import Machine


def add_freed(machine: Machine, planned: MemoryPlan, held: int, on_cards: int = 0) -> Machine:
    """Return the machine after the end of a loaded model. `held`: its resident bytes of main memory. `on_cards`: its
    bytes on all graphics cards; 0 if the driver does not say.

    The plan says how the bytes are spread over the cards, and stands for them if they are not known.
    """
    expected = sum(share.total for share in planned.shares[1:])
    if on_cards and expected:
        return _changed(machine, planned, held, lambda share: round(on_cards * share.total / expected))
    return _changed(machine, planned, held, lambda share: share.total - share.compute)


def subtract_unused(machine: Machine, planned: MemoryPlan, held: int) -> Machine:
    """Return the machine without what a loaded model has planned and does not hold yet. `held`: its resident bytes of
    main memory without pages of files, since the system counts those as available."""
    return _changed(machine, planned, -max(0, planned.shares[0].total - held), lambda share: -share.compute)


def _changed(machine: Machine, planned: MemoryPlan, main: int, on_card: Callable[[DeviceShare], int]) -> Machine:
    """Return the machine with `main` bytes more (or fewer) of main memory free, and `on_card` bytes of each card."""
    shares = {(share.device, share.twin): share for share in planned.shares[1:]}
    gpus = []
    for gpu, twin in zip(machine.gpus, twins(machine.gpus), strict=True):
        if share := shares.get((gpu.name, twin)):
            free = max(0, min(gpu.total_bytes, gpu.free_bytes + on_card(share)))
            gpu = dataclasses.replace(gpu, free_bytes=free)
        gpus.append(gpu)
    free = max(0, min(machine.memory_bytes, machine.free_bytes + main))
    return dataclasses.replace(machine, free_bytes=free, gpus=tuple(gpus))
