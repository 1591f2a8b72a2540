"""Perplexity of GGUF files as `evaluate --set mode=chunks` measures it, against llama.cpp's own program."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.llama_perplexity import build_program, measure
from benchmarks.report import Figure
from benchmarks.server import ROOT
from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec
from modules.jobs.texts import calibration_rows, evaluation_rows
from modules.protocol.errors import PaddockError
from modules.settings.config import Config

WINDOW, CHUNKS = 512, 24
LOADERS = ("xllamacpp", "llamacpp")
_TYPES = ("F16", "Q8_0", "Q4_K_M")


def run(loaders: Sequence[str] = LOADERS) -> Iterator[Figure]:
    """Yield the perplexity of the demo model in several types by each loader; the ratio is to that of llama.cpp's
    program, on the same file and text."""
    program = build_program(ROOT / ".test-models")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        place = Path(name)
        models = place / "models"
        models.mkdir()
        (models / "demo").symlink_to(ROOT / "models" / "demo")
        text = place / "text.txt"
        text.write_text(_plain_text(), encoding="utf-8")
        app = build_app(Config(ROOT, port=0, models=models, user_data=place / "user"))
        stack.callback(app.close)
        for kind in _TYPES:
            spec = JobSpec("quantize", "demo", "gguf", f"demo-{kind}", settings={"type": kind})
            file = app.jobs.run(app.jobs.start(spec))["model"]
            theirs = measure(program, models / file, text, WINDOW, CHUNKS)
            for loader in loaders:
                try:
                    ours = _evaluated(app, file, loader, text)
                except PaddockError as error:
                    print(f"{kind}, {loader}: left out. {error.message}", file=sys.stderr)
                    continue
                yield Figure("perplexity", f"{kind}, {loader}", ours, "", ours / theirs, {"llama.cpp": theirs})


def _plain_text() -> str:
    """Return what is said in the two samples of dialogues, without any template: the program knows none."""
    rows = [row for read in (calibration_rows, evaluation_rows) for row in read("").rows]
    return "\n".join(row.get("text") or "\n".join(turn["content"] for turn in row["messages"]) for row in rows)


def _evaluated(app: App, model: str, loader: str, text: Path) -> float:
    settings = {"mode": "chunks", "window": str(WINDOW), "tokens": str(WINDOW * CHUNKS), "speed": "false"}
    spec = JobSpec("evaluate", model, loader=loader, settings=settings, text=str(text))
    return float(app.jobs.run(app.jobs.start(spec))["perplexity"])
