"""What the page makes of sentences that name options of the command line."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.jobs.job_spec import JobSpec
from modules.protocol.errors import PaddockError
from modules.ui.page_words import page_words
from tests.support.server import serving

LABELS = {"imatrix": "Importance matrix", "requantize": "Quantize again", "window": "Window", "smoothing": "Smoothing"}


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            "Let it be computed on calibration text: --set imatrix=auto. Or name a file: --set imatrix=PATH",
            (
                "Let it be computed on calibration text: set Importance matrix to auto. Or name a file: set Importance "
                "matrix to PATH"
            ),
        ),
        ("If there is no original: --set requantize=true", "If there is no original: switch on Quantize again"),
        (
            "Leave it out: --set smoothing=0.5. Or: --set window=256 stride=128.",
            "Leave it out: set Smoothing to 0.5. Or: set Window to 256 and set stride to 128.",
        ),
        (
            "There is a model named x already. Choose another --name.",
            "There is a model named x already. Choose another name.",
        ),
        (
            "The worker was killed. Run it again: python3 webui.py jobs resume 12",
            "The worker was killed. Run it again with the button below",
        ),
        ("Choose a longer text, or leave --calibration out.", "Choose a longer text, or leave Calibration text out."),
        (
            "Put --models on a larger disk, or --name-like words.",
            "Put --models on a larger disk, or --name-like words.",
        ),
    ],
)
def test_options_become_fields_and_buttons(sentence: str, shown: str) -> None:
    assert page_words(sentence, LABELS) == shown


def test_the_page_and_the_command_line_each_have_their_words(app: App) -> None:
    spec = JobSpec("quantize", "tiny", method="gguf", settings={"type": "IQ2_XS"})
    with pytest.raises(PaddockError, match="--set imatrix=auto"):
        app.jobs.plan(spec)
    with serving(app) as address:
        for verb in ("plan", "jobs"):
            url = f"{address}/paddock/workshop/{verb}"
            said = httpx.post(url, json=dataclasses.asdict(spec), timeout=60).json()["error"]
            assert "set Importance matrix to auto" in said and "--set" not in said


def test_the_list_of_jobs_names_the_button(app: App) -> None:
    id = app.jobs.start(JobSpec("quantize", "tiny", method="echo", settings={"behaviour": "crash"}))
    with pytest.raises(PaddockError, match=f"jobs resume {id}"):
        app.jobs.run(id)
    with serving(app) as address:
        row: dict[str, Any] = httpx.get(f"{address}/paddock/workshop/jobs/{id}", timeout=60).json()
    assert "Run it again with the button below" in row["message"]
