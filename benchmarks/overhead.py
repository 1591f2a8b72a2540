"""Tokens per second delivered to a streaming API client, against the raw engine in the same environment."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.model import measured_model
from benchmarks.remote import remote_model
from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_process import clean_environment

PROMPT = "What is quantization, and why does it make a model smaller? " * 4
# The placement of memory and threads at the start changes the ratio by some hundredths until the process ends.
STARTS = 3
ROUNDS = 4
# Loader -> tokens per round: enough to measure, few enough to finish soon.
CASES = {
    "xllamacpp": 256,
    "llamacpp": 256,
    "transformers": 128,
    "gptqmodel": 128,
    "autogptq": 32,
    "autoawq": 128,
    "hqq": 32,
    "vllm": 128,
    "remote": 128,
}
# Loaders with their own script for the raw engine. The others are Transformers models and share one.
_OWN_SCRIPT = ("xllamacpp", "llamacpp", "transformers", "vllm", "remote")


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield tokens per second and the ratio to the raw engine for each of `loaders` (none: all that run here)."""
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    for name in loaders or CASES:
        spec = registry.get(name)
        environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
        with placed(name) as (model, address):
            sides = raw_command(name, model, address)
            pairs = [pair for _ in range(STARTS) for pair in _pairs(name, environments.python(spec), *sides)]
        rates = [delivered for _, delivered in pairs]
        ratio = median([delivered / of_raw for of_raw, delivered in pairs])
        yield Figure("overhead", name, median(rates), "tokens/s", ratio)


def raw_command(loader: str, model: Path, address: str) -> tuple[str, Path, str]:
    """Return (script, model, argument) for the raw engine. `address`: of the remote loader's server."""
    return (loader, model, address or _dtype()) if loader in _OWN_SCRIPT else ("packed", model, loader)


def _pairs(name: str, python: Path, script: str, model: Path, argument: str) -> list[tuple[float, float]]:
    """Return (raw, delivered) tokens per second of some rounds. Both sides are started for them."""
    tokens = CASES[name]
    with (
        running("--model", model.name, "--loader", name, models=model.parent) as server,
        raw(python, script, model, argument) as engine,
    ):
        _delivered(server, 4)
        return [(raw_rate(engine, tokens), _delivered(server, tokens)) for _ in range(ROUNDS)]


@contextlib.contextmanager
def placed(loader: str) -> Iterator[tuple[Path, str]]:
    """Yield (the model for this loader, the address of its server or "")."""
    if loader == "remote":
        with remote_model(ROOT) as found:
            yield found
    else:
        yield measured_model(ROOT, loader), ""


def _delivered(server: Running, count: int) -> float:
    body = {"prompt": PROMPT, "max_tokens": count, "temperature": 0, "ban_eos_token": True}
    body["stream_options"] = {"include_usage": True}
    begin = time.perf_counter()
    made = 0
    for part in server.stream("/v1/completions", body):
        if part.get("usage"):
            made = part["usage"]["completion_tokens"]
    rate = made / (time.perf_counter() - begin)
    if made != count:
        raise RuntimeError(f"{made} tokens came instead of {count}")
    return rate


@contextlib.contextmanager
def raw(python: Path, name: str, model: Path, argument: str, most: float = 3600.0) -> Iterator[subprocess.Popen[str]]:
    """Yield the running raw/NAME_raw.py once it is ready. It ends with the block, or after `most` seconds."""
    script = Path(__file__).parent / "raw" / f"{name}_raw.py"
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(
            [str(python), str(script), str(model), PROMPT, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=clean_environment(python),
        ) as process,
        contextlib.ExitStack() as over,
    ):
        limit = threading.Timer(most, process.kill)
        limit.daemon = True
        limit.start()
        over.callback(limit.cancel)
        assert process.stdout is not None
        # Engines may print other lines first.
        if "ready\n" not in iter(process.stdout.readline, ""):
            said.seek(0)
            raise RuntimeError(f"the raw engine of {name} did not start: {said.read()[-2000:]}")
        yield process
        assert process.stdin is not None
        process.stdin.close()


def raw_rate(process: subprocess.Popen[str], count: int) -> float:
    """Return tokens per second of one round of `count` tokens."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the raw engine ended")
    made, seconds = line.split()
    if int(made) != count:
        raise RuntimeError(f"the raw engine made {made} tokens instead of {count}")
    return count / float(seconds)


def _dtype() -> str:
    """Return the data type that "auto" means in the Transformers loader on this processor."""
    return "bfloat16" if inspect_machine().bfloat16 else "float32"
