"""The memory plan without measurements, against the worker's peak after a load and a reply that fills the context: for
every loader that runs here, with the demo model and with the model of 150M parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.model import folder_model, gguf_model
from benchmarks.report import Figure
from benchmarks.server import ROOT
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.memory_plan import memory_demand, plan_memory
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.memory_watch import MemoryWatch
from modules.runtime.worker_client import WorkerClient

CONTEXT, REPLY = 1024, 256
MEGABYTE = 1 << 20
# Two figures within this difference count as equal.
_SAME = 50 * MEGABYTE
_SECONDS = 1800.0
_WORDS = "the context of a model and the cache of a token "


@dataclass(frozen=True)
class Case:
    """A loader with settings, and a format of the models: "gguf", "folder" or a kind of tests/support/quantize.py."""

    loader: str
    form: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in the figures."""
        return ", ".join([self.loader, self.form, *(str(value) for value in self.settings.values())])


_CACHE = {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
CASES = (
    Case("xllamacpp", "gguf"),
    Case("xllamacpp", "gguf", _CACHE),
    Case("llamacpp", "gguf"),
    Case("transformers", "gguf"),
    Case("transformers", "folder", {"dtype": "float32"}),
    Case("transformers", "folder", {"dtype": "bfloat16"}),
    Case("transformers", "folder", {"quantization": "int8"}),
    Case("transformers", "folder", {"quantization": "nf4"}),
    Case("hqq", "folder"),
    Case("gptqmodel", "gptq"),
    Case("gptqmodel", "awq"),
    Case("autogptq", "gptq"),
    Case("autoawq", "awq"),
    Case("vllm", "folder"),
)


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield the measured peak of each case of `loaders` (none: all) with each model.

    The ratio is the larger of plan and peak over the smaller, or 1 if they are within 50 MB. Loaders that are not
    installed are named on stderr.
    """
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    registry = Registry(ROOT / "loaders")
    for case in CASES:
        if loaders and case.loader not in loaders:
            continue
        spec = registry.get(case.loader)
        if not environments.status(spec).installed:
            print(f"{case.name}: not installed (webui.py install {case.loader}).", file=sys.stderr)
            continue
        for size in ("demo", "150M"):
            try:
                yield _measure(case, size, spec, environments.python(spec))
            except (PaddockError, RuntimeError) as error:
                print(f"{case.name}, {size}: {error}", file=sys.stderr)


def _measure(case: Case, size: str, spec: LoaderSpec, python: Path) -> Figure:
    path, machine = _model(case.form, size), inspect_machine()
    facts, settings = detect(path, path.name), {**case.settings, "context": CONTEXT}
    planned = (
        plan_memory(facts, memory_demand(facts, spec, build(spec.settings, settings), machine), machine).shares[0].total
    )
    peak = _peak(settings, spec, python, path)
    print(f"{case.name}, {size}: planned {planned / MEGABYTE:.0f} MB", file=sys.stderr)
    ratio = 1.0 if abs(planned - peak) <= _SAME else max(planned, peak) / min(planned, peak)
    return Figure("plan", f"{case.name}, {size}", peak / MEGABYTE, "MB", ratio)


def _peak(settings: dict[str, Any], spec: LoaderSpec, python: Path, path: Path) -> int:
    """Return the worker's peak of main memory after a load and a reply to a prompt that fills the context."""
    client = WorkerClient(spec, python, ROOT, lambda exit: None)
    try:
        client.start()
        watch = MemoryWatch(client.process.pid, str(path.resolve()))
        info = client.load(str(path), settings, lambda text, fraction: None).info
        watch.record_load()
        # More words than fit; the surplus is removed at the front.
        params = SamplingParams(max_new_tokens=REPLY, do_sample=False, ban_eos_token=True, truncate=True)
        generation = client.generate(_WORDS * (info.context // 10 + 1), params)
        if not generation.wait(_SECONDS) or generation.finished is None:
            raise RuntimeError(f"a reply did not end: {generation.error or 'it hangs'}")
        return watch.usage()[1]
    finally:
        client.stop()


def _model(form: str, size: str) -> Path:
    folder = ROOT / "models" / "demo" if size == "demo" else folder_model(ROOT)
    if form == "gguf":
        return ROOT / "models" / "demo.Q8_0.gguf" if size == "demo" else gguf_model(ROOT)
    if form == "folder":
        return folder
    from tests.support.quantize import quantized

    return quantized(form, folder)
