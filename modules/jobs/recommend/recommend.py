"""Rank the methods for one model, machine and aim, each with its loader, size, memory, loss, speed and command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from modules.jobs.recommend.bandwidth import tokens_per_second
from modules.jobs.recommend.decision import Preference, Situation, choose_preference, mixed_memory
from modules.jobs.recommend.devices import device_kind
from modules.jobs.recommend.gguf_sizes import GgufSizes
from modules.jobs.recommend.methods import METHODS, Variant, variants
from modules.jobs.recommend.published import published_loss
from modules.jobs.recommend.sizes import full_bytes
from modules.jobs.recommend.tensors import ModelTensors, read_model_tensors
from modules.library.memory_plan import MemoryPlan, largest_fitting, memory_demand, memory_shortage, plan_memory
from modules.library.ranking import rank_loaders
from modules.protocol.errors import ModelError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.schema import build, describe
from modules.system.program_name import program_name

_GGUF_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_PRECISIONS = {"FP32": 32, "FP16": 16, "BF16": 16, "INT8": 8, "INT4": 4}
_WHY_NO_GROUPS = "No group size from 128 to 8 divides the inputs of all matrices of {model}."


@dataclass(frozen=True)
class Recommendation:
    """One method. `rank`: 1 is best, 0 where `why_not` says why it is impossible here.

    `size_bytes`: on disk; `memory_bytes`: at the wanted context, on all devices; `expected_loss`: rise of the
    perplexity, measured here or published, else None; `tokens_per_second`: the most that memory allows, else None;
    `command`: what makes it; `quantizer`: the method's name in `quantize --method`."""

    method: str
    quantizer: str
    settings: dict[str, object]
    loader: str
    rank: int
    why_not: str
    reason: str
    size_bytes: int
    memory_bytes: int
    expected_loss: float | None
    loss_source: str
    tokens_per_second: float | None
    command: str


@dataclass(frozen=True)
class Request:
    """What is asked. `context`: tokens, 0 for the loader's default. `bandwidth`: bytes per second of this machine's
    memory, 0 where another machine is meant. `calibration`: there is text like what the model will write."""

    model: str
    machine: Machine
    aim: str = "balance"
    context: int = 0
    fine_tune: bool = False
    bandwidth: float = 0.0
    calibration: bool = True


@dataclass(frozen=True)
class _Judged:
    variant: Variant
    loader: str
    reason: str
    why_not: str
    plan: MemoryPlan | None


def recommend(
    request: Request,
    facts: ModelFacts,
    specs: Iterable[LoaderSpec],
    gguf: GgufSizes | ModelError,
    measured_loss: Callable[[Variant], float | None],
) -> dict[str, object]:
    """Return one object: the model, the situation, bytes by precision, and `methods`, best first, impossible ones last.

    `gguf`: sizes of GGUF files, or why there are none of this model. `measured_loss`: rise of the perplexity measured
    here, or None. Raises ModelError for a model that is quantized already or cannot be read."""
    tensors, loaders = read_model_tensors(facts), list(specs)
    in_4_bits = full_bytes(tensors, 4.9)
    situation = Situation(
        device_kind(request.machine),
        request.aim,
        request.fine_tune,
        not mixed_memory(request.machine, in_4_bits),
        request.calibration,
    )
    preference = choose_preference(situation)
    found: dict[str, list[_Judged]] = {name: [] for name in METHODS}
    gguf_bytes = gguf.bytes_of if isinstance(gguf, GgufSizes) else None
    for variant in variants(facts, tensors, gguf_bytes):
        found[variant.method].append(_judge(variant, facts, request, loaders))
    chosen = {name: _choose(judged, preference, request.aim) for name, judged in found.items()}
    order = sorted(METHODS, key=lambda name: _order(name, chosen[name], preference))
    methods, rank = [], 0
    for name in order:
        judged = chosen[name]
        possible = judged is not None and not judged.why_not
        rank += possible
        row = _described(name, judged, rank if possible else 0, request, preference, tensors, measured_loss)
        if name == "gguf" and isinstance(gguf, ModelError):
            row = replace(row, why_not=gguf.message)
        methods.append(row)
    return {
        "model": facts.name,
        "device": situation.device,
        "aim": request.aim,
        "fine_tune": request.fine_tune,
        "calibration": request.calibration,
        "reason": preference.reason,
        "parameters": tensors.total,
        "bytes_per_precision": {name: full_bytes(tensors, bits) for name, bits in _PRECISIONS.items()}
        | {kind: gguf_bytes(kind) for kind in _GGUF_TYPES if gguf_bytes},
        "bandwidth_bytes_per_second": round(request.bandwidth) or None,
        "methods": [asdict(method) for method in methods],
    }


def _judge(variant: Variant, facts: ModelFacts, request: Request, specs: list[LoaderSpec]) -> _Judged:
    """Find the loader that runs a variant best, and plan its memory. `facts`: of the model in full precision."""
    makers = [made for spec in specs for made in spec.quantizers if made.name == variant.quantizer]
    if not makers:
        why = f"No loader here makes {variant.method.upper()} models. You can download one that is made already."
        return _Judged(variant, "", "", why, None)
    obstacles = [made.obstacle(facts, build(made.settings, variant.settings)) for made in makers]
    if all(obstacles):
        return _Judged(variant, "", "", obstacles[0], None)
    ranked = rank_loaders(variant.facts, specs, request.machine, request.aim)
    if not ranked or not ranked[0].runs:
        why = ranked[0].reason if ranked else f"No loader here reads {variant.method.upper()}."
        return _Judged(variant, ranked[0].loader if ranked else "", "", why, None)
    best = ranked[0]
    spec = next(spec for spec in specs if spec.name == best.loader)
    plan = _plan(variant, spec, request)
    why = "" if plan.fits else memory_shortage(plan)
    return _Judged(variant, best.loader, best.reason, why, plan)


def _plan(variant: Variant, spec: LoaderSpec, request: Request) -> MemoryPlan:
    """Plan a load at the wanted context; with as many layers on cards as fit, where the loader lets one choose."""
    names = {entry.name for entry in describe(spec.settings)}
    values = dict(variant.load)
    if request.context and "context" in names:
        values["context"] = request.context

    def planned(**more: object) -> MemoryPlan:
        settings = build(spec.settings, {**values, **more})
        demand = memory_demand(variant.facts, spec, settings, request.machine)
        return plan_memory(variant.facts, demand, request.machine)

    plan = planned()
    if plan.fits or "gpu_layers" not in names or len(plan.shares) < 2:
        return plan
    layers = largest_fitting(plan.layers, lambda count: planned(gpu_layers=count).fits)
    return planned(gpu_layers=layers) if layers else planned(gpu_layers=0)


def _choose(judged: list[_Judged], preference: Preference, aim: str) -> _Judged | None:
    """Return the possible variant nearest to the bits that the situation wants; else the smallest, with its reason."""
    possible = [entry for entry in judged if not entry.why_not]
    if not possible:
        return judged[-1] if judged else None
    below = [entry for entry in possible if entry.variant.bits <= preference.bits + 0.3]
    return below[0] if below else possible[-1]


def _order(name: str, judged: _Judged | None, preference: Preference) -> tuple[bool, bool, int]:
    """Possible methods first; of those the ones that keep at least 3 bits, by preference."""
    impossible = judged is None or bool(judged.why_not)
    few = judged is not None and judged.variant.bits < 3 and not impossible
    return impossible, few, preference.methods.index(name)


def _described(
    name: str,
    judged: _Judged | None,
    rank: int,
    request: Request,
    preference: Preference,
    tensors: ModelTensors,
    measured_loss: Callable[[Variant], float | None],
) -> Recommendation:
    if judged is None:
        return Recommendation(
            name, name, {}, "", 0, _WHY_NO_GROUPS.format(model=request.model), "", 0, 0, None, "", None, ""
        )
    variant = judged.variant
    measured = measured_loss(variant)
    kind = str(variant.settings.get("type", ""))
    published = published_loss(name, variant.bits, kind)
    loss = measured if measured is not None else published
    first = f"{preference.reason} " if name == preference.methods[0] and rank else ""
    on_cpu = judged.plan is not None and len(judged.plan.shares) == 1
    share = judged.plan.shares[0] if judged.plan else None
    # A loader that unpacks the weights reads them unpacked.
    weights = max(variant.facts.size_bytes, share.weights if share else 0)
    read = weights - tensors.embedding * 2 + (share.cache // 2 if share else 0)
    settings = " ".join(f"{key}={value}" for key, value in variant.settings.items())
    return Recommendation(
        method=name,
        quantizer=variant.quantizer,
        settings=dict(variant.settings),
        loader=judged.loader,
        rank=rank,
        why_not=judged.why_not,
        reason="" if judged.why_not else f"{first}{judged.reason}".strip(),
        size_bytes=variant.facts.size_bytes,
        memory_bytes=judged.plan.total if judged.plan else 0,
        expected_loss=loss,
        loss_source="" if loss is None else "measured" if measured is not None else "published",
        tokens_per_second=_rounded(tokens_per_second(request.bandwidth, read)) if on_cpu and rank else None,
        command=f"{program_name()} quantize {shlex.quote(request.model)} --method {variant.quantizer}"
        + (f" --set {settings}" if settings else ""),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
