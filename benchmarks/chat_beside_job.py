"""A chat's time per token while a job runs, against the same chat alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running

_TOKENS, _ROUNDS = 64, 5
_PROMPT = "What is quantization, and why does it make a model smaller?"
# Method -> the beginning of the step from which the chat is measured: the job then computes, for minutes.
_JOBS = {"gptq": "Quantized layer 1 ", "hqq": "Packing the weights"}


def chat_beside(models: Path, chat: str, source: str) -> Iterator[Figure]:
    """Yield the milliseconds per token of `chat` while `source` is quantized, for some methods; the ratio is to those
    of the chat alone. Both are in `models`."""
    with running("--model", chat, "--loader", "xllamacpp", models=models) as server:
        _milliseconds(server)
        for method, step in _JOBS.items():
            alone = [_milliseconds(server) for _ in range(_ROUNDS)]
            with _job(models, source, method, step):
                beside = [_milliseconds(server) for _ in range(_ROUNDS)]
            value = median(beside)
            more = {"alone": median(alone), "slowest": max(beside)}
            yield Figure("jobs", f"chat beside {method}, a token", value, "ms", value / median(alone), more)


def _milliseconds(server: Running) -> float:
    body = {"prompt": _PROMPT, "max_tokens": _TOKENS, "temperature": 0, "ban_eos_token": True}
    begin = time.perf_counter()
    for _ in server.stream("/v1/completions", body):
        pass
    return 1000 * (time.perf_counter() - begin) / _TOKENS


@contextlib.contextmanager
def _job(models: Path, source: str, method: str, step: str) -> Iterator[None]:
    """Run a job from the command line; yield once it is at `step`, and cancel it at the end."""
    with tempfile.TemporaryDirectory() as data, contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "webui.py", "quantize", source, "--method", method, "--name", f"beside-{method}"]
                + ["--no-venv", "--json", "--models", str(models), "--user-data", data],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        stack.callback(process.terminate)
        assert process.stdout is not None
        for line in process.stdout:
            if str(json.loads(line).get("step", "")).startswith(step):
                break
        else:
            raise RuntimeError(f"The job {method} ended before the chat was measured.")
        yield
        if process.poll() is not None:
            print(f"{method}: the job ended while the chat was measured, so the figure is too good.", file=sys.stderr)
