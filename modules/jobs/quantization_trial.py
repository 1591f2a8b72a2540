"""A trial of a quantization, which says before it starts what it will take."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from modules.jobs.quantize import QuantizePlan
from modules.jobs.resources import JobResources
from modules.jobs.texts import OnStep
from modules.protocol.commands import TryQuantize
from modules.protocol.errors import PaddockError
from modules.protocol.schema import changed_values
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.process_priority import lower_priority
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.worker_client import WorkerClient

_TRIAL_SECONDS = 180.0
_HASHED_BYTES = 32 << 20
# Times that a loader starts: to quantize, and to load the result once.
_STARTS = 2


@dataclass(frozen=True)
class Tried:
    """What the whole job will take, by a trial. `peak_bytes`: None where the trial does not say."""

    seconds: float
    peak_bytes: int | None


def try_quantization(plan: QuantizePlan, resources: JobResources, report: OnStep) -> Tried | None:
    """Return what the whole job will take, by a trial in a worker; None where there can be none.

    `report` hears of the trial before it starts.
    """
    loader, method, source = plan.loader, plan.method, Path(plan.facts.path)
    if not method.has_trial or not resources.environments.status(loader).installed:
        return None
    report(f"Trying {method.title} on a part of {plan.facts.name}, to estimate time and memory")
    calibrated = method.is_calibrated(plan.settings)
    text = resources.texts.calibration_at_hand(plan.text) if calibrated else None
    variables = {**sandbox_variables(source, [], []), **resources.consents.variables(plan.facts, loader)}
    python = resources.environments.python(loader)
    begin = time.perf_counter()
    client = WorkerClient(loader, python, resources.paths.root, lambda exit: None, lambda event: None, **variables)
    watch = MemoryWatch(client.process.pid, str(source))
    try:
        lower_priority(client.process.pid)  # as the job's worker
        client.start()
        rows = text.rows if text else []
        command = TryQuantize(client.next_id(), method.name, str(source), changed_values(plan.settings), rows)
        trial = client.ask(command, timeout=_TRIAL_SECONDS)
        if trial is None:
            return None
        # The rest of the time is mostly the import of the engine.
        start = time.perf_counter() - begin - trial["spent"]
        peak = None if trial["held"] is None else watch.peak_so_far() + trial["held"]
    except PaddockError:
        return None  # the job itself will say what is wrong
    finally:
        watch.close()
        client.process.stop()
    return Tried(trial["seconds"] + _STARTS * start + _hash_seconds(plan.facts.size_bytes), peak)


def _hash_seconds(size: int) -> float:
    """Return the seconds that the SHA-256 of `size` bytes takes here."""
    data = bytes(min(size, _HASHED_BYTES))
    begin = time.perf_counter()
    hashlib.sha256(data).digest()
    return (time.perf_counter() - begin) * size / max(1, len(data))
