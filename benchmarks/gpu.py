"""Figures of a machine with CUDA: the contract suite, and for each loader load time, peak memory against the plan,
tokens per second against the raw engine, and memory after unload. Without CUDA it prints a sentence and no figures."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
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
from modules.library.memory_plan import memory_demand, plan_memory
from modules.protocol.errors import EnvironmentBroken, PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_client import WorkerClient

TOKENS = 256
ROUNDS = 7
MEGABYTE = 1 << 20
_LOOK_SECONDS = 0.1
_SECONDS = 120.0
# Limit for a case, which may compile its kernels.
_CASE_SECONDS = 420.0
_CONTRACT_SECONDS = 300.0


@dataclass(frozen=True)
class Case:
    """A loader with one format of the model. `raw`: the script in raw/ for the engine alone, and its last argument."""

    loader: str
    form: str
    settings: dict[str, Any] = field(default_factory=dict)
    raw: tuple[str, str] = ("", "")

    @property
    def name(self) -> str:
        """The name in the figures."""
        return f"{self.loader}, {self.form}"


CASES = (
    Case("exllamav2", "gptq", {"context": CONTEXT}, ("exllamav2", str(CONTEXT))),
    Case("exllamav3", "exl3", {"context": CONTEXT}, ("exllamav3", str(CONTEXT))),
    Case("gptqmodel", "gptq", {"context": CONTEXT}, ("cuda", "auto")),
    Case("transformers", "nf4", {"context": CONTEXT, "quantization": "nf4"}, ("cuda", "nf4")),
    Case("transformers", "folder", {"context": CONTEXT}, ("cuda", "bfloat16")),
    Case("llamacpp", "gguf", {"context": CONTEXT}, ("llamacpp", "")),
    Case("xllamacpp", "gguf", {"context": CONTEXT}, ("xllamacpp", "")),
)


def run() -> Iterator[Figure]:
    """Yield each figure as soon as it is measured; print a sentence to stderr for those that cannot be measured.

    The contract suite comes last because it takes longest.
    """
    machine = inspect_machine()
    if not machine.has("cuda"):
        print(
            "This machine has no NVIDIA card, so there is nothing to measure here. Run it on one that has.",
            file=sys.stderr,
        )
        return
    print(f"{time.strftime('%Y-%m-%d')}, {', '.join(gpu.name for gpu in machine.gpus)}", file=sys.stderr)
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], machine)
    for case in CASES:
        try:
            spec = registry.get(case.loader)
            yield from _measure(case, spec, _python(environments, spec))
        except Exception as error:
            # Continue with the other cases after any error: the GPU may be available for minutes only.
            detail = error.detail if isinstance(error, PaddockError) else traceback.format_exc()
            print(f"{case.name}: {error}\n{detail[-2000:]}", file=sys.stderr)
    yield from _contract(sorted({case.loader for case in CASES}))


def _python(environments: Environments, spec: LoaderSpec) -> Path:
    """Return the interpreter of the loader's environment. If it cannot be built (for example without a network), return
    the current interpreter if it has the engine."""
    try:
        environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
        return environments.python(spec)
    except EnvironmentBroken as error:
        if start([sys.executable, "-c", spec.probe], capture_output=True, timeout=_SECONDS, check=False).returncode:
            raise
        print(f"{spec.name}: {error} Using the engine of {sys.executable}.", file=sys.stderr)
        return Path(sys.executable)


def _contract(loaders: list[str]) -> Iterator[Figure]:
    """Yield how many contract tests passed for each loader; the ratio is to the tests that ran."""
    with tempfile.TemporaryDirectory() as folder:
        for loader in loaders:
            report = Path(folder) / f"{loader}.xml"
            command = [sys.executable, "-m", "pytest", "-q", "tests/contract", "-k", f"contract-{loader}"]
            try:
                limit = _CONTRACT_SECONDS
                start([*command, f"--junitxml={report}"], cwd=ROOT, stdout=sys.stderr, check=False, timeout=limit)
                suite = ElementTree.parse(report).getroot().find("testsuite")
            except (TimeoutExpired, OSError, ElementTree.ParseError) as error:
                print(f"{loader}, contract: {error}", file=sys.stderr)
                continue
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
    before, machine = _used(), inspect_machine()
    client = WorkerClient(spec, python, ROOT, lambda exit: None)
    limit = threading.Timer(_CASE_SECONDS, client.process.stop, (0,))
    limit.daemon = True
    limit.start()
    try:
        with _watched() as peak:
            client.start()
            began = time.perf_counter()
            client.load(str(model), case.settings, lambda text, fraction: None)
            yield Figure("gpu", f"{case.name}, load", time.perf_counter() - began, "s")
            _delivered(client, TOKENS)
        taken = peak[0] - before
        facts = detect(model, model.name)
        demand = memory_demand(facts, spec, build(spec.settings, case.settings), machine)
        planned = sum(share.total for share in plan_memory(facts, demand, machine).shares[1:])
        ratio = max(taken, planned) / min(taken, planned) if min(taken, planned) > 0 else None
        yield Figure("gpu", f"{case.name}, peak, to plan", taken / MEGABYTE, "MB", ratio)
        script, argument = case.raw
        with raw(python, script, model, argument, _CASE_SECONDS) as engine:
            pairs = [(raw_rate(engine, TOKENS), _delivered(client, TOKENS)) for _ in range(ROUNDS)]
        rates = [delivered for _, delivered in pairs]
        yield Figure("gpu", f"{case.name}, to raw", median(rates), "tokens/s", median([d / r for r, d in pairs]))
    finally:
        limit.cancel()
        client.stop()
    yield Figure("gpu", f"{case.name}, after unload", (_used() - before) / MEGABYTE, "MB")


def _model(case: Case) -> Path:
    if case.form == "gguf":
        return gguf_model(ROOT)
    if case.form in ("gptq", "exl3"):
        from tests.support.quantize import quantized

        try:
            return quantized(case.form, folder_model(ROOT))
        except (PaddockError, RuntimeError) as error:
            print(
                f"{case.name}: on the demo model, because the large one cannot be quantized here ({error})",
                file=sys.stderr,
            )
            return quantized(case.form)
    return folder_model(ROOT)


def _delivered(client: WorkerClient, count: int) -> float:
    """Return tokens per second of one greedy reply, as they reach the host."""
    began = time.perf_counter()
    generation = client.generate(PROMPT, SamplingParams(max_new_tokens=count, do_sample=False, ban_eos_token=True))
    if not generation.wait(_SECONDS) or generation.finished is None:
        raise RuntimeError(f"a reply did not end: {generation.error or 'it hangs'}")
    if generation.finished.generated_tokens != count:
        raise RuntimeError(f"{generation.finished.generated_tokens} tokens came instead of {count}")
    return count / (time.perf_counter() - began)


def _used() -> int:
    """Return the bytes in use on all NVIDIA GPUs together."""
    return sum(gpu.total_bytes - gpu.free_bytes for gpu in find_gpus() if gpu.kind == "cuda")


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Yield a list with one number: the peak of bytes in use while the block ran."""
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
