"""A CUDA machine's figures: the contract suite there, and for each loader load time, peak memory against the plan,
tokens a second against the raw engine, and memory after unload. Without CUDA it says so, and has no figures."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run as start
from typing import Any
from xml.etree import ElementTree

from benchmarks.model import CONTEXT, folder_model, gguf_model
from benchmarks.overhead import PROMPT, raw, raw_rate
from benchmarks.report import Figure, median
from benchmarks.server import ROOT
from modules.library.accelerators import find_gpus
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.memory import demand_of, plan
from modules.protocol.errors import PaddockError
from modules.protocol.loader import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.client import WorkerClient
from modules.runtime.environment import Environments
from modules.runtime.registry import Registry

TOKENS = 256
ROUNDS = 7
MEGABYTE = 1 << 20
_LOOK_SECONDS = 0.1
_SECONDS = 600.0


@dataclass(frozen=True)
class Case:
    """A loader on a form of the model. `raw`: the script in raw/ that is its engine alone, and its last argument."""

    loader: str
    form: str
    settings: dict[str, Any] = field(default_factory=dict)
    raw: tuple[str, str] = ("", "")

    @property
    def name(self) -> str:
        """What the figures call it."""
        return f"{self.loader}, {self.form}"


CASES = (
    Case("exllamav2", "gptq", {"context": CONTEXT}, ("exllamav2", str(CONTEXT))),
    Case("gptqmodel", "gptq", {"context": CONTEXT}, ("cuda", "auto")),
    Case("transformers", "nf4", {"context": CONTEXT, "quantization": "nf4"}, ("cuda", "nf4")),
    Case("transformers", "folder", {"context": CONTEXT}, ("cuda", "bfloat16")),
    Case("llamacpp", "gguf", {"context": CONTEXT}, ("llamacpp", "")),
    Case("xllamacpp", "gguf", {"context": CONTEXT}, ("xllamacpp", "")),
)


def run() -> Iterator[Figure]:
    """All figures; those of a loader that cannot be had are replaced by a sentence on stderr."""
    machine = inspect_machine()
    if not machine.has("cuda"):
        print(
            "This machine has no NVIDIA card, so there is nothing to measure here. Run it on one that has.",
            file=sys.stderr,
        )
        return
    print(f"{time.strftime('%Y-%m-%d')}, {', '.join(gpu.name for gpu in machine.gpus)}", file=sys.stderr)
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", ROOT / "requirements", machine)
    yield from _contract(sorted({case.loader for case in CASES}))
    for case in CASES:
        try:
            spec = registry.get(case.loader)
            environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
            yield from _measure(case, spec, environments.python(spec))
        except (PaddockError, RuntimeError) as error:
            print(f"{case.name}: {error}", file=sys.stderr)


def _contract(loaders: list[str]) -> Iterator[Figure]:
    """How many tests of the contract passed for each loader; the ratio is to those that ran."""
    with tempfile.TemporaryDirectory() as folder:
        for loader in loaders:
            report = Path(folder) / f"{loader}.xml"
            command = [sys.executable, "-m", "pytest", "-q", "tests/contract", "-k", f"contract-{loader}"]
            start([*command, f"--junitxml={report}"], cwd=ROOT, stdout=sys.stderr, check=False)
            suite = ElementTree.parse(report).getroot().find("testsuite")
            counts = (
                {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
                if suite is not None
                else {}
            )
            ran = counts.get("tests", 0) - counts.get("skipped", 0)
            passed = ran - counts.get("failures", 0) - counts.get("errors", 0)
            yield Figure("gpu", f"{loader}, contract", passed, "passed", passed / ran if ran else None)


def _measure(case: Case, spec: LoaderSpec, python: Path) -> Iterator[Figure]:
    model = _model(case)
    before = _used()
    client = WorkerClient(spec, python, ROOT, lambda exit: None)
    try:
        with _watched() as peak:
            client.start()
            began = time.perf_counter()
            client.load(str(model), case.settings, lambda text, fraction: None)
            yield Figure("gpu", f"{case.name}, load", time.perf_counter() - began, "s")
            _delivered(client, TOKENS)
        taken = peak[0] - before
        machine = inspect_machine()
        facts = detect(model, model.name)
        demand = demand_of(facts, spec, build(spec.settings, case.settings), machine)
        planned = sum(share.total for share in plan(facts, demand, machine).shares[1:])
        ratio = max(taken, planned) / max(1, min(taken, planned))
        yield Figure("gpu", f"{case.name}, peak, to plan", taken / MEGABYTE, "MB", ratio)
        script, argument = case.raw
        with raw(python, script, model, argument) as engine:
            pairs = [(raw_rate(engine, TOKENS), _delivered(client, TOKENS)) for _ in range(ROUNDS)]
        rates = [delivered for _, delivered in pairs]
        yield Figure("gpu", f"{case.name}, to raw", median(rates), "tokens/s", median([d / r for r, d in pairs]))
    finally:
        client.stop()
    yield Figure("gpu", f"{case.name}, after unload", (_used() - before) / MEGABYTE, "MB")


def _model(case: Case) -> Path:
    if case.form == "gguf":
        return gguf_model(ROOT)
    if case.form == "gptq":
        from tests.support.quantize import quantized

        return quantized("gptq", folder_model(ROOT))
    return folder_model(ROOT)


def _delivered(client: WorkerClient, count: int) -> float:
    """Tokens a second of one greedy reply, as they reach the host."""
    began = time.perf_counter()
    generation = client.generate(PROMPT, SamplingParams(max_new_tokens=count, do_sample=False, ban_eos_token=True))
    if not generation.wait(_SECONDS) or generation.finished is None:
        raise RuntimeError(f"a reply did not end: {generation.error or 'it hangs'}")
    if generation.finished.generated_tokens != count:
        raise RuntimeError(f"{generation.finished.generated_tokens} tokens came instead of {count}")
    return count / (time.perf_counter() - began)


def _used() -> int:
    """Bytes in use on all NVIDIA cards together."""
    return sum(gpu.total_bytes - gpu.free_bytes for gpu in find_gpus() if gpu.kind == "cuda")


@contextmanager
def _watched() -> Iterator[list[int]]:
    """A list whose one number is the most that was in use while the block ran, in bytes."""
    peak, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            peak[0] = max(peak[0], _used())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak[0] = max(peak[0], _used())
