"""Plans the memory of a load: what the loader needs, what earlier loads used, and what fits on this machine now."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from modules.library.machine import inspect_machine
from modules.library.memory_plan import MemoryPlan, largest_fitting, memory_demand, memory_shortage, plan_memory
from modules.library.scan import ModelLibrary
from modules.loading.measured_memory import Measurement, MemoryMeasurements, apply_measurement, measurement_key
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.environment import Environments
from modules.runtime.load_request import LoadRequest
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LOG = logging.getLogger(__name__)
_STEP = 256
# Reading the accelerators' memory may take a second. A form that is being filled in asks more often.
_FRESH_SECONDS = 2.0


class PlanError(PaddockError):
    """The load would take more memory than is free."""

    code = "plan"


@dataclass(frozen=True)
class Advice:
    """A plan and what follows from it.

    `obstacle`: "" if the plan fits, else a sentence with a next step. `context` and `gpu_layers`: the largest values
    that fit; None if the loader has no such setting, 0 if no value fits.
    """

    plan: MemoryPlan
    obstacle: str
    context: int | None
    gpu_layers: int | None


class MemoryPlanner:
    """Plans loads, and records what each load used to correct later plans.

    `enforce`: refuse loads that do not fit.
    """

    def __init__(
        self,
        library: ModelLibrary,
        environments: Environments,
        supervisor: Supervisor,
        measured: MemoryMeasurements,
        enforce: bool = True,
    ) -> None:
        self._library = library
        self._environments = environments
        self._supervisor = supervisor
        self._measured = measured
        self._enforce = enforce
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._read_at = 0.0
        supervisor.on_measured(self._record)

    def machine(self) -> Machine:
        """Return this machine. Its free memory includes what the current worker will free when a load ends it."""
        with self._lock:
            if self._machine is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
                found = inspect_machine()
                self._machine = dataclasses.replace(
                    found, free_bytes=min(found.memory_bytes, found.free_bytes + self._supervisor.memory_bytes())
                )
                self._read_at = time.monotonic()
            return self._machine

    def advise(self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance) -> Advice:
        """Return the plan for a model with these settings, and the largest values that fit."""
        machine = self.machine()
        demand = memory_demand(facts, spec, settings, machine)
        planned = self._plan(facts, spec, demand, machine)
        names = {entry.name for entry in describe(spec.settings)}

        def fits(**changes: int) -> bool:
            changed = memory_demand(facts, spec, dataclasses.replace(settings, **changes), machine)
            return self._plan(facts, spec, changed, machine).fits

        context = layers = None
        if "context" in names and demand.context and planned.shares[0].cache:
            context = largest_fitting(
                facts.context or demand.context, lambda tokens: fits(context=max(1, tokens)), _STEP
            )
        if "gpu_layers" in names and len(planned.shares) > 1:
            layers = largest_fitting(facts.layers, lambda count: fits(gpu_layers=count))
        lower = context if context and context < demand.context else 0
        return Advice(planned, memory_shortage(planned, lower, layers or 0), context, layers)

    def check_fits(self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance) -> None:
        """Raise PlanError if the load does not fit into the memory that is free now, if loads are checked."""
        if not self._enforce:
            return
        if sentence := self.advise(facts, spec, settings).obstacle:
            raise PlanError(
                f"{facts.name} was not loaded: {sentence[:1].lower()}{sentence[1:]} To load it anyway, press Load "
                "anyway, or start Paddock with --load-anyway."
            )

    def _record(self, request: LoadRequest, info: ModelInfo, watch: MemoryWatch) -> None:
        """Save what the worker of this load used. A failure is only logged: the model's files may be gone by now."""
        loaded, peak = watch.usage()
        if not peak:
            return
        facts, spec = request.facts, request.spec
        try:
            machine = self.machine()
            demand = memory_demand(facts, spec, request.settings, machine)
            on_cpu = info.device == "cpu"
            used = dataclasses.replace(demand, gpu_layers=0) if on_cpu else demand
            expected = plan_memory(facts, used, machine).at_load
            found = Measurement(loaded, peak, demand.context, expected, on_cpu)
            self._measured.record(self._key(facts, spec, demand, machine), found, facts.name, spec.name)
        except PaddockError as error:
            _LOG.warning("The memory use of %s was not saved: %s", facts.name, error.message)

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


def describe_plan(advice: Advice) -> dict[str, object]:
    """Return the advice as plain JSON values: bytes, tokens, layers."""
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
