"""Find out how far vLLM's start is and why it failed, from what its processes write to stderr."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modules.protocol.errors import EnvironmentBroken, ModelError, OutOfMemory, PaddockError
from modules.worker.engine import Report
from modules.worker.stderr_tap import StderrTap

_REPORT_SECONDS = 1.0
# (pattern of a line that begins a stage, text for the user, progress at that point).
_STAGES = (
    (re.compile(r"Initializing a V1 LLM engine"), "Starting vLLM's engine", 0.15),
    (re.compile(r"world_size=|rank \d+ in world size"), "Starting the workers", 0.3),
    (re.compile(r"Starting to load model|Loading safetensors|Loading weights"), "Loading the weights", 0.45),
    (re.compile(r"Model loading took|Loading weights took"), "The weights are loaded", 0.65),
    (re.compile(r"torch\.compile|Compiling|Dynamo bytecode|Warming up"), "Compiling and warming up", 0.7),
    (re.compile(r"KV cache size|KV cache memory|Maximum concurrency"), "Allocating the context", 0.8),
    (re.compile(r"Capturing|graph captur", re.IGNORECASE), "Recording CUDA graphs", 0.9),
)
_MEMORY = re.compile(
    r"less than desired|No available memory|available KV cache memory|out of memory|not enough memory|OutOfMemoryError|"
    r"Cannot allocate memory|larger than the maximum number of tokens|exceeds? available",
    re.IGNORECASE,
)
_LOWER = ("context", "cache_gb", "cache_type", "slots")
_ERROR_LINE = re.compile(r"(?:^|\s|\])((?:\w+\.)*\w*(?:Error|Exception|Exit))\s*:\s*(\S.*)$", re.MULTILINE)
# Errors that only say that another process failed.
_EMPTY_ERRORS = ("Engine core initialization failed", "Worker failed with error", "WorkerProc initialization failed")


@contextmanager
def report_startup(report: Report, name: str) -> Iterator[None]:
    """Report the progress of the start inside the block, and turn its failure into a PaddockError."""
    stage, fraction, start = "Starting vLLM", 0.1, time.monotonic()
    done = threading.Event()

    def read(text: str) -> None:
        nonlocal stage, fraction
        for pattern, words, part in _STAGES:
            if part > fraction and pattern.search(text):
                stage, fraction = words, part

    def report_stage() -> None:
        while not done.wait(_REPORT_SECONDS):
            report(f"{stage} ({time.monotonic() - start:.0f} s; with Compile it takes minutes)", fraction)

    reporter = threading.Thread(target=report_stage, name="vllm progress", daemon=True)
    report(stage, fraction)
    with StderrTap(read, stays=True) as tap:
        reporter.start()
        try:
            yield
        except PaddockError:
            raise
        except Exception as error:
            raise startup_error(name, f"{tap.text()}\n{type(error).__name__}: {error}") from error
        finally:
            done.set()
            reporter.join()


def startup_error(name: str, output: str) -> PaddockError:
    """Return why vLLM did not start with the model `name`. `output` is what its processes wrote."""
    causes = [
        (kind.split(".")[-1], words.strip())
        for kind, words in _ERROR_LINE.findall(output)
        if not any(empty in words for empty in _EMPTY_ERRORS)
    ]
    detail = output[-8000:]
    kind, words = causes[0] if causes else ("", "")
    short = re.sub(r"\s+", " ", words)[:400].rstrip(".")
    if "less than desired" in words:
        # vLLM takes a share of the device at once, of which other programs have a part.
        return OutOfMemory(
            f"Not enough memory for {name}: {short}. Lower GPU memory utilization (memory_share), or close other "
            "programs that use this memory.",
            detail=detail,
            lower=("memory_share",),
        )
    if _MEMORY.search(words) or (not causes and _MEMORY.search(output)):
        return OutOfMemory(
            f"Not enough memory for {name}: {short or 'it ran out'}. Lower Context length or KV cache, or choose a "
            "smaller model.",
            detail=detail,
            lower=_LOWER,
        )
    if "ray" in words.lower() and kind in ("ModuleNotFoundError", "ImportError", "ValueError"):
        return EnvironmentBroken(
            "vLLM's environment on this machine does not contain Ray. Set Executor to mp, or load on a machine with an "
            "NVIDIA card, where the environment contains it.",
            detail=detail,
        )
    if kind in ("ModuleNotFoundError", "ImportError"):
        return EnvironmentBroken(
            f"vLLM lacks a package ({short}). Rebuild its environment: " + "{program} install vllm --rebuild",
            detail=detail,
        )
    if not short:
        return PaddockError(f"vLLM did not start with {name}. The details say what it wrote last.", detail=detail)
    return ModelError(
        f"vLLM cannot load {name}: {short}. Change the setting that this names, or choose another loader.",
        detail=detail,
    )
