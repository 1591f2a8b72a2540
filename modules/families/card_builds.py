"""What ready-made builds for graphics cards need: the driver, the cards that they have code for, and libraries.

Each check returns a sentence with a next step, or "" if the build can be used. What is unknown about a machine is no
obstacle: an environment is verified after the install, and the next variant is taken if the engine finds no card.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Gpu, Machine


def version(text: str) -> tuple[int, ...]:
    """Return "13.2" as (13, 2); () if it is no version."""
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


@dataclass(frozen=True)
class CudaBuild:
    """A build for NVIDIA cards.

    `toolkit`: its version of CUDA. `oldest`, `newest`: compute capabilities that it has code for. `native`: those with
    machine code; a driver compiles the code of others, and must be as new as the toolkit for that. Empty: all have it.
    `glibc`: the oldest C library. Machine code needs a driver of the same major version of CUDA.
    Sources: https://docs.nvidia.com/deploy/cuda-compatibility/ and the README of each engine.
    """

    toolkit: str
    oldest: str
    newest: str = ""
    native: tuple[str, ...] = ()
    glibc: str = ""

    def obstacle(self, machine: Machine) -> str:
        """Return why the machine cannot use it, as a sentence, or ""."""
        cards = [gpu for gpu in machine.gpus if gpu.kind == "cuda"]
        if not cards:
            return "No NVIDIA card was found."
        problems = (self._card_problem(card) for card in cards)
        return _library_problem(machine, self.glibc) or next(filter(None, problems), "")

    def _card_problem(self, card: Gpu) -> str:
        known = version(card.architecture)
        if known and known < version(self.oldest):
            return (
                f"It has no code for {card.name} (compute capability {card.architecture}, it begins at {self.oldest})."
            )
        if known and self.newest and known > version(self.newest):
            return f"It has no code for {card.name} (compute capability {card.architecture}, it ends at {self.newest})."
        is_native = not self.native or card.architecture in self.native
        needed = f"{version(self.toolkit)[0]}.0" if is_native else self.toolkit
        if card.api and version(card.api) < version(needed):
            return (
                f"NVIDIA's driver {card.driver} supports CUDA {card.api}, and {card.name} needs {needed} for this "
                "build. Update the driver to use it."
            )
        return ""


@dataclass(frozen=True)
class RocmBuild:
    """A build for AMD cards. `major`: the major version of ROCm; 0 if the build brings ROCm along. `targets`: the cards
    that it has code for; empty: not known. `glibc`: the oldest C library."""

    major: int = 0
    targets: tuple[str, ...] = ()
    glibc: str = ""

    def obstacle(self, machine: Machine) -> str:
        """Return why the machine cannot use it, as a sentence, or ""."""
        cards = [gpu for gpu in machine.gpus if gpu.kind == "rocm"]
        if not cards:
            return "No AMD card with ROCm was found."
        if machine.system != "linux":
            return "It is made for Linux only."
        for card in cards:
            if self.targets and card.architecture and card.architecture not in self.targets:
                return f"It has no code for {card.name} ({card.architecture})."
            if self.major and card.api and version(card.api)[:1] != (self.major,):
                return f"ROCm {card.api} is installed, and it needs ROCm {self.major}. Install that to use it."
        return _library_problem(machine, self.glibc)


def vulkan_obstacle(machine: Machine) -> str:
    """Return why the machine cannot use a build for Vulkan, as a sentence, or ""."""
    if machine.has("metal"):
        return "Vulkan is not used on a Mac, where Metal is."
    if not machine.gpus:
        return "No graphics card was found."
    if not machine.vulkan:
        return (
            "The Vulkan loader is missing. Install it (Debian and Ubuntu: apt install libvulkan1 mesa-vulkan-drivers) "
            "to use it."
        )
    return ""


def compiler_obstacle(machine: Machine, kind: str, compiler: str, package: str) -> str:
    """Return why a build for cards of this kind cannot be compiled here, as a sentence, or ""."""
    name = {"cuda": "NVIDIA card", "rocm": "AMD card with ROCm"}.get(kind, "graphics card")
    if not (machine.gpus if kind == "vulkan" else machine.has(kind)):
        return f"No {name} was found."
    if compiler not in machine.compilers:
        return f"Compiling it needs {compiler}, which is not on the search path. Install {package} to use it."
    return ""


def _library_problem(machine: Machine, oldest: str) -> str:
    if machine.system != "linux" or not oldest:
        return ""
    if not machine.glibc:
        return f"It needs the C library glibc {oldest} or newer, and this system has another one."
    if version(machine.glibc) < version(oldest):
        return f"It needs glibc {oldest} or newer, and this system has {machine.glibc}. Update the system to use it."
    return ""
