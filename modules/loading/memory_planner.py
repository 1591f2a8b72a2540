"""The memory plan of a load on this machine now: what the loader asks, what was measured, what would fit."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from modules.library.machine import inspect_machine
from modules.library.memory_plan import MemoryPlan, largest_fitting, memory_demand, memory_shortage, plan_memory
from modules.library.scan import ModelLibrary
from modules.loading.measured_memory import Measurement, MemoryMeasurements, apply_measurement, measurement_key
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import build, describe
from modules.runtime.environment import Environments
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.supervisor import Supervisor

_STEP = 256
# A look at the accelerators may take a second; a form that is being filled in asks more often.
_FRESH_SECONDS = 2.0


class PlanError(PaddockError):
    """The load would take more memory than is free."""

    code = "plan"


@dataclass(frozen=True)
class Advice:
    """A plan and what follows: `obstacle` is "" if it fits, else a sentence with a next step; `context` and
    `gpu_layers` are the most that fit (None: the loader has no such setting, 0: none fits)."""

    plan: MemoryPlan
    obstacle: str
    context: int | None
    gpu_layers: int | None


class MemoryPlanner:
    """Plans loads, and learns from those that were made."""

    def __init__(
        self, library: ModelLibrary, environments: Environments, supervisor: Supervisor, measured: MemoryMeasurements
    ) -> None:
        self._library = library
        self._environments = environments
        self._supervisor = supervisor
        self._measured = measured
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._looked = 0.0

    def machine(self) -> Machine:
        """This machine with what is free now, and what the worker that a load ends will give back."""
        with self._lock:
            if self._machine is None or time.monotonic() - self._looked > _FRESH_SECONDS:
                found = inspect_machine()
                self._machine = dataclasses.replace(
                    found, free_bytes=min(found.memory_bytes, found.free_bytes + self._supervisor.memory_bytes())
                )
                self._looked = time.monotonic()
            return self._machine

    def advise(self, model: str, spec: LoaderSpec, values: dict[str, Any]) -> Advice:
        """The plan for `model` with these settings, and the most that would fit. Raises SettingError, ModelError."""
        facts, settings, machine = self._library.facts(model), build(spec.settings, values), self.machine()
        demand = memory_demand(facts, spec, settings, machine)
        planned = self._plan(facts, spec, demand, machine)
        names = {entry.name for entry in describe(spec.settings)}

        def fits(**changes: int) -> bool:
            asked = memory_demand(facts, spec, dataclasses.replace(settings, **changes), machine)
            return self._plan(facts, spec, asked, machine).fits

        context = layers = None
        if "context" in names and demand.context and planned.shares[0].cache:
            context = largest_fitting(
                facts.context or demand.context, lambda tokens: fits(context=max(1, tokens)), _STEP
            )
        if "gpu_layers" in names and len(planned.shares) > 1:
            layers = largest_fitting(facts.layers, lambda count: fits(gpu_layers=count))
        lower = context if context and context < demand.context else 0
        return Advice(planned, memory_shortage(planned, lower, layers or 0), context, layers)

    def check_fits(self, model: str, spec: LoaderSpec, values: dict[str, Any]) -> None:
        """Raises PlanError where the load would not fit what is free now."""
        if sentence := self.advise(model, spec, values).obstacle:
            raise PlanError(
                f"{model} was not loaded: {sentence[:1].lower()}{sentence[1:]} To load it all the same, press Load "
                "anyway, or start Paddock with --load-anyway."
            )

    def record(self, model: str, spec: LoaderSpec, values: dict[str, Any], watch: MemoryWatch, device: str) -> None:
        """Keep what the worker of this load held until now."""
        loaded, peak = watch.usage()
        if not peak:
            return
        facts, machine = self._library.facts(model), self.machine()
        demand = memory_demand(facts, spec, build(spec.settings, values), machine)
        on_cpu = device == "cpu"
        used = dataclasses.replace(demand, gpu_layers=0) if on_cpu else demand
        expected = plan_memory(facts, used, machine).at_load
        found = Measurement(loaded, peak, demand.context, expected, on_cpu)
        self._measured.record(self._key(facts, spec, demand, machine), found, model, spec.name)

    def _plan(self, facts: ModelFacts, spec: LoaderSpec, demand: Demand, machine: Machine) -> MemoryPlan:
        found = self._measured.find(self._key(facts, spec, demand, machine))
        if found is None:
            return plan_memory(facts, demand, machine)
        used = dataclasses.replace(demand, gpu_layers=0) if found.on_cpu else demand
        return apply_measurement(plan_memory(facts, used, machine), found)

    def _key(self, facts: ModelFacts, spec: LoaderSpec, demand: Demand, machine: Machine) -> str:
        return measurement_key(
            self._library.identity(facts.name), self._environments.status(spec).path.name, demand, machine
        )


def describe_plan(advice: Advice) -> dict[str, Any]:
    """The advice as plain JSON values: bytes, tokens, layers."""
    shares = [{**asdict(share), "total": share.total} for share in advice.plan.shares]
    return {
        "devices": shares,
        "context": advice.plan.context,
        "gpu_layers": advice.plan.gpu_layers,
        "total": advice.plan.total,
        "fits": advice.plan.fits,
        "measured": advice.plan.measured,
        "obstacle": advice.obstacle,
        "largest_context": advice.context,
        "largest_gpu_layers": advice.gpu_layers,
    }
