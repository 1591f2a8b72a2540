"""The machine that a recommendation is made for: this one, or the one that `--device` describes."""

from __future__ import annotations

import dataclasses
import re

from modules.protocol.errors import SettingError
from modules.protocol.model_facts import Gpu, Machine

_UNITS = {"mib": 1 << 20, "mb": 10**6, "gib": 1 << 30, "gb": 10**9, "tib": 1 << 40, "tb": 10**12}
_DEVICE = re.compile(r"(cpu|cuda|rocm|metal):(\d+(?:\.\d+)?) ?(mib|mb|gib|gb|tib|tb)", re.IGNORECASE)
_EXAMPLES = "cuda:24GiB, rocm:16GiB, metal:32GiB, cpu:16GiB, or cuda:8GiB,cpu:32GiB for a card beside main memory"


def parse_device(text: str, here: Machine) -> Machine:
    """Return the machine that `text` describes, such as "cuda:24GiB" or "cuda:8GiB,cpu:32GiB"; "" returns `here`.

    All of the memory named counts as free. Main memory that is not named is that of `here`. Raises SettingError."""
    if not text.strip():
        return here
    memory, cards, metal = 0, list[Gpu](), 0
    for part in text.split(","):
        found = _DEVICE.fullmatch(part.strip())
        size = round(float(found[2]) * _UNITS[found[3].lower()]) if found else 0
        if not found or not size:
            raise SettingError(f"--device cannot be {text!r}. It takes {_EXAMPLES}.")
        kind = found[1].lower()
        if kind == "cpu":
            memory = size
        elif kind == "metal":
            metal = size
        else:
            cards.append(Gpu(kind, f"{kind.upper()} card", size, size))
    if metal and cards:
        raise SettingError(f"--device cannot be {text!r}: a Mac has no card beside Metal. It takes {_EXAMPLES}.")
    if metal:
        return Machine("darwin", "arm64", here.cpus, metal, metal, (Gpu("metal", "Apple silicon", metal, metal),))
    total = memory or here.memory_bytes
    system = "linux" if here.system == "darwin" else here.system
    return dataclasses.replace(here, system=system, memory_bytes=total, free_bytes=total, gpus=tuple(cards))


def device_kind(machine: Machine) -> str:
    """Return the accelerator that counts: "cuda", "rocm", "metal", or "cpu" where there is none."""
    return next((kind for kind in ("cuda", "rocm", "metal") if machine.has(kind)), "cpu")
