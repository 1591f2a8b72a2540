"""Read NVIDIA's cards from NVML, the driver's library, with NVIDIA's package nvidia-ml-py."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeVar

from modules.library.card_state import CardProcess, CardState
from modules.protocol.model_facts import Gpu

T = TypeVar("T")
# Where the package looks for the library.
_LINUX = "libnvidia-ml.so.1"
_WINDOWS = ("System32/nvml.dll", "NVIDIA Corporation/NVSMI/nvml.dll")
# nvmlClocksEventReasons of nvml.h that mean a problem. The first that holds is shown.
_HEAT = 0x20 | 0x40
_SLOWED = ((_HEAT, "heat"), (0x80, "its power supply"), (0x4, "its power limit"), (0x8, "the hardware"))


def read_nvml() -> list[CardState]:
    """Return NVIDIA's cards in the order of nvidia-smi; [] without a driver. What the driver does not say is 0 or "".

    The library stays initialized, so that later calls take about a millisecond for each card.
    """
    if not _has_library():
        return []
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        driver, cuda = str(nvml.nvmlSystemGetDriverVersion()), int(nvml.nvmlSystemGetCudaDriverVersion())
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError:
        return []
    api = f"{cuda // 1000}.{cuda % 1000 // 10}"
    handles = (_try(nvml, partial(nvml.nvmlDeviceGetHandleByIndex, number), None) for number in range(count))
    return [_read(nvml, handle, driver, api) for handle in handles if handle is not None]


def _has_library() -> bool:
    """Return True if NVML is installed. The package takes longer to import than this."""
    if sys.platform == "win32":
        folders = os.environ.get("WINDIR", "C:/Windows"), os.environ.get("PROGRAMFILES", "C:/Program Files")
        return any(Path(*pair).exists() for pair in zip(folders, _WINDOWS, strict=True))
    try:
        ctypes.CDLL(_LINUX)
    except OSError:
        return False
    return True


def _try(nvml: Any, ask: Callable[[], T], otherwise: T) -> T:
    """Return the answer, or `otherwise` if this card or driver does not give it."""
    try:
        return ask()
    except nvml.NVMLError:
        return otherwise


def _read(nvml: Any, handle: Any, driver: str, api: str) -> CardState:
    def ask(name: str, otherwise: Any, *details: Any) -> Any:
        return _try(nvml, partial(getattr(nvml, f"nvmlDeviceGet{name}"), handle, *details), otherwise)

    memory = ask("MemoryInfo", None)
    total, free = (int(memory.total), int(memory.free)) if memory else (0, 0)
    capability = ".".join(map(str, ask("CudaComputeCapability", ())))
    reasons = int(ask("CurrentClocksThrottleReasons", 0))
    return CardState(
        str(ask("UUID", "")),
        Gpu("cuda", str(ask("Name", "NVIDIA card")), total, free, capability, driver, api),
        _processes(nvml, handle),
        int(ask("Temperature", 0, nvml.NVML_TEMPERATURE_GPU)),
        int(ask("ClockInfo", 0, nvml.NVML_CLOCK_SM)),
        int(ask("MaxClockInfo", 0, nvml.NVML_CLOCK_SM)),
        next((text for bits, text in _SLOWED if reasons & bits), ""),
    )


def _processes(nvml: Any, handle: Any) -> tuple[CardProcess, ...]:
    """Return the processes that compute or draw. A process that does both is listed twice by NVML, with one size."""
    found: dict[int, CardProcess] = {}
    for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        users: list[Any] = _try(nvml, partial(ask, handle), [])
        for process in users:
            path = str(_try(nvml, partial(nvml.nvmlSystemGetProcessName, process.pid), ""))
            name = PurePath(path.replace("\\", "/")).name or f"process {process.pid}"
            found[process.pid] = CardProcess(process.pid, name, int(process.usedGpuMemory or 0))
    return tuple(found.values())
