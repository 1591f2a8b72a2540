"""Builds of one loader's engine for different hardware: the CPU, and each kind of graphics card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modules.protocol.model_facts import Machine

# The user's choice if Paddock chooses.
AUTOMATIC = "auto"


def _none(machine: Machine) -> str:
    return ""


@dataclass(frozen=True)
class Variant:
    """One build of an engine. Each has a separate environment.

    name: as in `webui.py install LOADER --variant NAME`; title: "CUDA 13.2".
    kind: the Gpu.kind that it computes on; "vulkan": cards of any kind; "cpu": none.
    requirements: a file in the loader's folder. flags: options of `uv pip install`, such as ("--torch-backend",
    "cu130").
    obstacle: returns why it cannot be used on a machine, as a sentence with a next step, or "".
    probe: Python code that runs after the loader's own probe. It raises an error if the engine finds no card.
    """

    name: str
    title: str
    kind: str
    requirements: str
    flags: tuple[str, ...] = ()
    obstacle: Callable[[Machine], str] = _none
    probe: str = ""
