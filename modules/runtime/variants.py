"""Chooses which build of a loader's engine is installed: the user's choice, or the best one that the machine supports.

A build that was installed and failed is left aside, as a file beside the environments says. `install` tries it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine
from modules.protocol.variants import AUTOMATIC, Variant

_FAILED = ".failed.txt"


@dataclass(frozen=True)
class VariantState:
    """A variant of a loader on this machine. `obstacle`: why it cannot be used; `failure`: why its last install failed.
    Both are sentences or ""."""

    variant: Variant
    path: Path
    obstacle: str = ""
    failure: str = ""

    @property
    def usable(self) -> bool:
        """True if the machine supports it and it has not failed."""
        return not self.obstacle and not self.failure


@dataclass(frozen=True)
class VariantChoice:
    """The variant that a load uses, and why: the sentence of `reason` names what keeps the machine from better ones.
    `others`: those to try next if it cannot be installed."""

    state: VariantState
    reason: str
    others: tuple[VariantState, ...] = ()


def variants_of(spec: LoaderSpec, machine: Machine) -> list[Variant]:
    """Return the loader's variants, best first. The last one is its own requirements file, without a choice of card."""
    return [*spec.variants, _base(spec, machine)]


def _base(spec: LoaderSpec, machine: Machine) -> Variant:
    kinds = spec.accelerators
    if machine.has("metal") and "metal" in kinds:
        return Variant("cpu", "CPU and Metal", "metal", spec.requirements)
    cards = [] if spec.variants and "cpu" in kinds else [kind for kind in kinds if kind != "cpu" and machine.has(kind)]
    kind = next(iter(cards), "cpu" if "cpu" in kinds else kinds[0])
    return Variant(kind, kind.upper(), kind, spec.requirements)


def choose_variant(states: Sequence[VariantState], wanted: str, machine: Machine) -> VariantChoice:
    """Return the variant named `wanted`, or for "auto" the first usable one. The last one is always usable."""
    for state in states:
        if state.variant.name == wanted:
            return VariantChoice(state, f"You chose this variant. {state.obstacle}".rstrip())
    usable = [state for state in states[:-1] if state.usable]
    first, *others = [*usable, states[-1]]
    if len(states) == 1:
        return VariantChoice(first, "")
    passed = [state for state in states[: states.index(first)] if _worth_saying(state, machine)]
    skipped = " ".join(f"{state.variant.title}: {state.failure or state.obstacle}" for state in passed)
    if first is not states[-1]:
        reason = "The best that this machine supports."
    elif machine.has("metal"):
        reason = "It uses this Mac's graphics."
    else:
        reason = "The graphics card is not used." if skipped else "No graphics card was found."
    return VariantChoice(first, f"{reason} {skipped}".rstrip(), tuple(others))


def _worth_saying(state: VariantState, machine: Machine) -> bool:
    """Return True if a person with this machine may ask why not this one."""
    kind = state.variant.kind
    has_card = any(gpu.kind != "metal" for gpu in machine.gpus)
    return bool(state.failure) or machine.has(kind) or (kind == "vulkan" and has_card)


def check_name(spec: LoaderSpec, name: str, machine: Machine) -> str:
    """Return the name of a variant as it is saved: "" for "auto". Raise SettingError if there is none of this name."""
    if name in ("", AUTOMATIC):
        return ""
    names = [variant.name for variant in variants_of(spec, machine)]
    if name not in names:
        raise SettingError(f"{spec.title} has no variant {name!r}. Choose {AUTOMATIC}, or one of: {', '.join(names)}.")
    return name


def read_failure(path: Path) -> str:
    """Return why the environment at `path` could not be built last time, "" if it did not fail."""
    try:
        return path.with_name(path.name + _FAILED).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def record_failure(path: Path, sentence: str) -> None:
    """Save why the environment at `path` could not be built; "" removes that."""
    file = path.with_name(path.name + _FAILED)
    with contextlib.suppress(OSError, PaddockError):
        if sentence:
            write_atomically(file, sentence + "\n")
        else:
            file.unlink(missing_ok=True)
