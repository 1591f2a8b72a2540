"""Plans the memory of a load: what the loader needs, what earlier loads used, and what fits on this machine now."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from modules.library.cards_now import other_programs
from modules.library.layer_placement import most_fitting_layers
from modules.library.machine import inspect_machine
from modules.library.memory_plan import MemoryPlan, largest_fitting, memory_demand, memory_shortage, plan_memory
from modules.library.scan import ModelLibrary
from modules.loading.held_memory import add_freed, subtract_unused
from modules.loading.measured_memory import Measurement, MemoryMeasurements, apply_measurement, measurement_key
from modules.loading.nodes.spread import Nodes
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import describe
from modules.runtime.environment import Environments
from modules.runtime.load_request import LoadRequest
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.model_pool import ModelPool
from modules.runtime.pool_model import PoolModel

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")
_LOG = logging.getLogger(__name__)
_STEP = 256
# Reading the accelerators' memory may take a second. A form that is being filled in asks more often.
_FRESH_SECONDS = 2.0
# How much of the free memory a setting may take that is left to the plan: other programs and models need some too.
_LARGEST_SHARE = 0.75


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

    `nodes`: the machines that loads are spread over, of which this one holds a part. `enforce`: refuse loads that do
    not fit.
    """

    def __init__(
        self,
        library: ModelLibrary,
        environments: Environments,
        pool: ModelPool,
        measured: MemoryMeasurements,
        nodes: Nodes,
        enforce: bool = True,
    ) -> None:
        self._library = library
        self._environments = environments
        self._pool = pool
        self._measured = measured
        self.nodes = nodes
        self._enforce = enforce
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._read_at = 0.0
        # The states of the models when the machine was read.
        self._read_with: list[str] = []
        pool.on_measured(self._record)

    def machine(self, ends: Collection[PoolModel] | None = None) -> Machine:
        """Return this machine. Its free memory includes what the models `ends` will free, which a load ends, and leaves
        out what the other loaded models have yet to take.

        By default a load ends the current model, and those beside it that may be unloaded to make room.
        """
        with self._lock:
            states = [f"{state.model} {state.phase}" for state in self._pool.states()]
            late = time.monotonic() - self._read_at > _FRESH_SECONDS
            if self._machine is None or late or states != self._read_with:
                self._machine = inspect_machine()
                self._read_at, self._read_with = time.monotonic(), states
            machine = self._machine
        return self._free_after(machine, [self._pool.current, *self._pool.evictable()] if ends is None else ends)

    def _free_after(self, machine: Machine, ended: Collection[PoolModel]) -> Machine:
        """Return the machine with the memory that is free for a load that ends these models."""
        for model in self._pool.models:
            request = model.supervisor.request()
            if request is None:
                continue
            try:
                planned = self.plan(request, machine)
            except PaddockError:  # its files are gone
                continue
            if model in ended:
                supervisor = model.supervisor
                machine = add_freed(machine, planned, supervisor.memory_bytes(), supervisor.card_bytes())
            else:
                machine = subtract_unused(machine, planned, model.supervisor.private_bytes())
        return machine

    def plan(self, request: LoadRequest, machine: Machine) -> MemoryPlan:
        """Return the plan of a load, corrected by what earlier loads took. Raise PaddockError if its files are gone."""
        machine = self._environments.machine_for(request.spec, machine)
        facts, settings = self._own_part(request.facts, request.spec, request.used_settings)
        demand = memory_demand(facts, request.spec, settings, machine)
        return self._plan(facts, demand, machine, self._environment(request.spec))

    def fits(self, request: LoadRequest, ends: Collection[PoolModel]) -> bool:
        """Return True if a load that ends these models fits into the memory that is free now, also where loads are not
        checked."""
        return self.plan(request, self.machine(ends)).fits

    def make_room(self, fits: Callable[[Machine], bool]) -> list[str]:
        """Unload idle models beside the current one until `fits` is true of the machine, the longest unused first.

        Return their names. Those that are pinned or in use stay, as for a load.
        """
        gone = []
        for model in self._pool.evictable():
            if fits(self.machine(ends=())):
                break
            name = model.name
            if self._pool.unload_if_idle(model):
                gone.append(name)
        return gone

    def choose_automatic(self, request: LoadRequest, ends: Collection[PoolModel]) -> LoadRequest:
        """Return a load that ends these models with values for its settings that are left to the plan and the nodes."""
        facts, spec = request.facts, request.spec
        machine = self._environments.machine_for(spec, self.machine(ends))
        chosen = self._chosen(facts, spec, request.settings, machine)
        values = {name: getattr(chosen, name) for name in spec.automatic}
        return self.nodes.choose(dataclasses.replace(request, automatic=values))

    def _chosen(self, facts: ModelFacts, spec: LoaderSpec, settings: S, machine: Machine) -> S:
        """Return the settings, with a value for each that is "auto" and in `spec.automatic`."""
        environment = self._environment(spec)
        for name, values in spec.automatic.items():
            if getattr(settings, name) != "auto":
                continue
            for value in values:
                changed = dataclasses.replace(settings, **{name: value})
                planned = self._plan(facts, memory_demand(facts, spec, changed, machine), machine, environment)
                if value == values[-1] or all(share.total <= _LARGEST_SHARE * share.free for share in planned.shares):
                    settings = changed
                    break
        return settings

    def advise(
        self,
        facts: ModelFacts,
        spec: LoaderSpec,
        settings: DataclassInstance,
        ends: Collection[PoolModel] | None = None,
    ) -> Advice:
        """Return the plan for a model with these settings, and the largest values that fit. `ends`: as for
        `machine`."""
        machine = self._environments.machine_for(spec, self.machine(ends))
        facts, settings = self._own_part(facts, spec, settings)
        # The same for each value that is tried.
        environment = self._environment(spec)
        demand = memory_demand(facts, spec, self._chosen(facts, spec, settings, machine), machine)
        planned = self._plan(facts, demand, machine, environment)
        names = {entry.name for entry in describe(spec.settings)}

        def fits(**changes: int) -> bool:
            changed = memory_demand(facts, spec, dataclasses.replace(settings, **changes), machine)
            return self._plan(facts, changed, machine, environment).fits

        context = layers = None
        if "context" in names and demand.context and planned.shares[0].cache:
            context = largest_fitting(
                facts.context or demand.context, lambda tokens: fits(context=max(1, tokens)), _STEP
            )
        if "gpu_layers" in names and len(planned.shares) > 1:
            layers = most_fitting_layers(planned.layers, lambda count: fits(gpu_layers=count))
        lower = context if context and context < demand.context else 0
        obstacle = memory_shortage(planned, lower, layers or 0)
        if any(share.total > share.free for share in planned.shares[1:]):
            obstacle = " ".join(filter(None, (obstacle, other_programs())))
        return Advice(planned, obstacle, context, layers)

    def _own_part(self, facts: ModelFacts, spec: LoaderSpec, settings: S) -> tuple[ModelFacts, S]:
        """Return the facts of this machine's part of a model, with the settings that spread it.

        They are unchanged where a load uses this machine alone, and where it would be refused.
        """
        try:
            values, nodes = self.nodes.settings(facts, spec, settings)
        except PaddockError:  # The load says why.
            return facts, settings
        return part_of(facts, len(nodes) + 1), dataclasses.replace(settings, **values)

    def check_fits(
        self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance, ends: Collection[PoolModel]
    ) -> None:
        """Raise PlanError if a load that ends these models does not fit into the memory that is free now, if loads are
        checked."""
        if not self._enforce:
            return
        if sentence := self.advise(facts, spec, settings, ends).obstacle:
            stay = [model.name for model in self._pool.others if model not in ends and model.name != facts.name]
            beside = f" Or unload {', '.join(stay)} on the Model tab." if stay else ""
            raise PlanError(
                f"{facts.name} was not loaded: {sentence[:1].lower()}{sentence[1:]}{beside} To load it anyway, press "
                "Load anyway, or start Paddock with --load-anyway."
            )

    def _record(self, request: LoadRequest, info: ModelInfo, watch: MemoryWatch) -> None:
        """Save what the worker of this load used. A failure is only logged: the model's files may be gone by now."""
        loaded, peak = watch.usage()
        if not peak:
            return
        facts, spec = request.facts, request.spec
        try:
            machine = self._environments.machine_for(spec, self.machine())
            facts, settings = self._own_part(facts, spec, request.used_settings)
            demand = memory_demand(facts, spec, settings, machine)
            on_cpu = info.device == "cpu"
            used = dataclasses.replace(demand, gpu_layers=0) if on_cpu else demand
            expected = plan_memory(facts, used, machine)
            on_cards = sum(share.total for share in expected.shares[1:])
            cards = (*watch.card_usage(), on_cards)
            found = Measurement(loaded, peak, demand.context, expected.at_load, on_cpu, *cards)
            self._measured.record(
                self._key(facts, demand, machine, self._environment(spec)), found, facts.name, spec.name
            )
        except PaddockError as error:
            _LOG.warning("The memory use of %s was not saved: %s", facts.name, error.message)

    def _environment(self, spec: LoaderSpec) -> str:
        return self._environments.status(spec).path.name

    def _plan(self, facts: ModelFacts, demand: Demand, machine: Machine, environment: str) -> MemoryPlan:
        found = self._measured.find(self._key(facts, demand, machine, environment))
        if found is None:
            return plan_memory(facts, demand, machine)
        used = dataclasses.replace(demand, gpu_layers=0) if found.on_cpu else demand
        return apply_measurement(plan_memory(facts, used, machine), found)

    def _key(self, facts: ModelFacts, demand: Demand, machine: Machine, environment: str) -> str:
        return measurement_key(self._library.identity(facts.name), environment, demand, machine)


def part_of(facts: ModelFacts, machines: int) -> ModelFacts:
    """Return the facts of one of equal parts of a model. Embeddings and head are on each machine in the worst case."""
    others = facts.size_bytes - facts.layer_bytes if facts.layer_bytes else 0
    return dataclasses.replace(
        facts,
        size_bytes=others + (facts.size_bytes - others) // machines,
        layer_bytes=facts.layer_bytes // machines,
        parameters=facts.parameters - facts.layer_parameters + facts.layer_parameters // machines,
        layer_parameters=facts.layer_parameters // machines,
        layers=-(-facts.layers // machines),
    )


def describe_plan(advice: Advice) -> dict[str, object]:
    """Return the advice as plain JSON values: bytes, tokens, layers."""
    parts = ("device", "free", "weights", "cache", "compute", "process", "total")
    shares = [{part: getattr(share, part) for part in parts} for share in advice.plan.shares]
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
