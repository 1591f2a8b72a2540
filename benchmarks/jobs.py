"""Jobs against the engines alone: their time, their peak memory against the model's size, and what a chat loses beside
one. The model has 150M parameters (300 MB)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chat_beside_job import chat_beside
from benchmarks.model import folder_model, gguf_model
from benchmarks.report import Figure, median
from benchmarks.server import ROOT
from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec, JobState
from modules.protocol.errors import PaddockError
from modules.runtime.process_priority import lower_priority
from modules.runtime.worker_process import clean_environment
from modules.settings.config import Config
from modules.system.processors import available_processors

MEGABYTE = 1 << 20
FOLDER, SHORT, FILE, CHAT = "bench", "bench-short", "bench-F16.gguf", "bench-chat.gguf"
# Each sample looks at all processes of the machine, which takes time from a job at its lower priority.
_SAMPLE_SECONDS = 0.25
# Jobs that use all cores but one.
_LEAVE_A_CORE = ("gguf", "train")


@dataclass(frozen=True)
class Case:
    """A job, and the same work by the engine alone: `work`, a function of raw/jobs_raw.py, in the environment of
    `alone_in`, with `options`; "" if only memory is measured. `text`: characters of text that both take."""

    name: str
    loader: str
    method: str = ""
    model: str = FOLDER
    settings: dict[str, str] = field(default_factory=dict)
    text: int = 0
    work: str = ""
    alone_in: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 1

    def job(self, name: str, text: Path) -> JobSpec:
        """Return the job, which makes the model or adapter `name`."""
        kind = "quantize" if self.method else "train"
        return JobSpec(kind, self.model, self.method, name, self.loader, self.settings, str(text) if self.text else "")


def _texts(values: dict[str, int]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


_GGUF: dict[str, Any] = {"method": "gguf", "model": FILE, "settings": {"type": "Q4_K_M"}, "rounds": 3}
# 15: Q4_K_M (llama.h, llama_ftype).
_ALONE: dict[str, Any] = {"work": "gguf", "alone_in": "llamacpp", "options": {"file_type": 15}}
_ROWS = {"samples": 32, "length": 256}
# AWQ tries many scales of all weights, which takes two quiet cores a minute for each layer.
_FEW_LAYERS = 3
_FEW_ROWS = {"samples": 8, "length": 256}
_TRAINING = {"base": "16bit", "epochs": "1", "batch_size": "2", "cutoff": "128"}
CASES = (
    Case("GGUF, llamacpp", "llamacpp", **_GGUF, **_ALONE),
    Case("GGUF, xllamacpp", "xllamacpp", **_GGUF, **_ALONE),
    Case("NF4", "transformers", "bnb", work="bnb", rounds=3),
    Case("HQQ", "hqq", "hqq", work="hqq", rounds=3),
    Case("GPTQ", "gptqmodel", "gptq", settings=_texts(_ROWS), text=100_000, work="gptq", options=_ROWS),
    Case(
        "AWQ",
        "gptqmodel",
        "awq",
        SHORT,
        settings=_texts(_FEW_ROWS),
        text=100_000,
        work="awq",
        options={**_FEW_ROWS, "zero_point": True},
    ),
    Case("training", "transformers", settings=_TRAINING, text=16_000, work="train", options={"length": 128}),
)


def run(names: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield the seconds and the peak of memory of each job, and a chat's milliseconds per token beside one.

    The ratio of seconds is those of the engine alone over those of the job's worker, which both start a process, load
    the model, work and save. `rest`: seconds of the job for the hash of the source and for a try of the result. The
    ratio of memory is the peak over the model's size. A case that fails is named on stderr.
    `names`: parts of the names of the cases to run, of which the chat is one; none: all.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        place = Path(name)
        models = place / "models"
        models.mkdir()
        (models / FOLDER).symlink_to(folder_model(ROOT))
        (models / SHORT).symlink_to(folder_model(ROOT, _FEW_LAYERS))
        (models / CHAT).symlink_to(gguf_model(ROOT))
        whole_text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))
        app = build_app(Config(ROOT, port=0, models=models, user_data=place / "user"))
        stack.callback(app.close)
        whole = JobSpec("quantize", FOLDER, "gguf", FILE.removesuffix(".gguf"), settings={"type": "F16"})
        app.jobs.run(app.jobs.start(whole))
        for case in (case for case in CASES if _is_named(case.name, names)):
            text = place / "text.txt"
            text.write_text(whole_text[: case.text], encoding="utf-8")
            try:
                yield from _measured(app, case, text, place)
            except (PaddockError, RuntimeError) as error:
                print(f"{case.name}: left out. {error}", file=sys.stderr)
        if _is_named("chat", names):
            yield from chat_beside(models, CHAT, FOLDER)


def _is_named(case: str, names: Sequence[str]) -> bool:
    return not names or any(name.lower() in case.lower() for name in names)


def _measured(app: App, case: Case, text: Path, place: Path) -> Iterator[Figure]:
    alone, workers, rests, peaks = [], [], [], []
    for number in range(case.rounds):
        begin = time.perf_counter()
        seconds, peak = _run(app, case.job(f"{case.loader}-{case.method}-{number}", text))
        workers.append(seconds)
        rests.append(time.perf_counter() - begin - seconds)
        peaks.append(peak)
        if case.work:
            with PeakMemory():  # So that watching costs both sides the same.
                alone.append(_alone(app, case, text, place / f"alone-{case.name}-{number}"))
    if alone:
        ratio = median([engine / worker for engine, worker in zip(alone, workers, strict=True)])
        yield Figure("jobs", case.name, median(workers), "s", ratio, {"alone": median(alone), "rest": median(rests)})
    size = app.library.facts(case.model).size_bytes
    yield Figure("jobs", f"{case.name}, peak", median(peaks) / MEGABYTE, "MB", median(peaks) / size)


def _run(app: App, spec: JobSpec) -> tuple[float, int]:
    """Run a job. Return the seconds and the peak of memory from the start of its worker to the start of the one that
    tries the result."""
    starts: list[tuple[float, int]] = []

    def listen(state: JobState) -> None:
        if state.step.startswith("Starting "):
            starts.append((time.perf_counter(), memory.peak))

    with PeakMemory() as memory:
        app.jobs.run(app.jobs.start(spec), listen)
    return starts[-1][0] - starts[0][0], starts[-1][1]


def _alone(app: App, case: Case, text: Path, target: Path) -> float:
    """Return the seconds of the engine alone, from the start of its process to the end."""
    python = app.environments.python(app.registry.get(case.alone_in or case.loader))
    script = Path(__file__).parent / "raw" / "jobs_raw.py"
    cores = len(available_processors())
    threads = max(1, cores - 1) if case.work in _LEAVE_A_CORE else cores
    options = {**case.options, "text": str(text), "threads": threads}
    source = app.library.facts(case.model).path
    begin = time.perf_counter()
    process = subprocess.Popen(
        [str(python), str(script), case.work, source, str(target), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(python),
        cwd=target.parent,
        start_new_session=True,
    )
    lower_priority(process.pid)  # as the job's worker, or other work on the machine would slow the job alone
    said = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError(f"The engine alone failed: {said.decode(errors='replace')[-3000:]}")
    return time.perf_counter() - begin


class PeakMemory:
    """Samples the memory of this process's children, without pages of mapped files, which the system can take back."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            held = 0
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    memory = process.memory_info()
                    held += memory.rss - getattr(memory, "shared", 0)
            self.peak = max(self.peak, held)
