"""Runs a probe in a loader's environment, and compares its results with the reference."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.cases import BREAKERS, SIZE, TOKENS, Case, logits
from tests.conformance.reference import Departures, Reference
from tests.conformance.reference_cuts import Floats

ROOT = Path(__file__).resolve().parent.parent.parent


def ask(python: Path, probe: str, cases: Iterable[Case]) -> dict[str, Any]:
    """Run the module tests.conformance.`probe` with `python`. Return case -> steps: each has the drawn token and the
    remaining (token, probability) pairs."""
    asked = {
        "model": str(ROOT / "models" / "demo.Q8_0.gguf"),
        "size": SIZE,
        "end": TOKENS.end,
        "newline": TOKENS.newline,
        "logits": {name: values.tolist() for name, values in logits().items()},
        "cases": [
            {
                "name": case.name,
                "params": {"dry_sequence_breakers": BREAKERS, **case.params},
                "logits": case.logits,
                "negative": case.negative,
                "text": list(case.text),
                "steps": case.steps,
                "seed": case.seed,
            }
            for case in cases
        ],
    }
    ran = subprocess.run(
        [str(python), "-m", f"tests.conformance.{probe}"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def difference(case: Case, steps: list[Any], departures: Departures, tolerance: float) -> str:
    """Return "" if every step has the tokens and probabilities of the reference, else the first difference."""
    if len(steps) != case.steps:
        return f"{len(steps)} tokens were drawn, not {case.steps}"
    given = logits()
    reference = Reference(case.parsed(), TOKENS, list(case.text), departures)
    for number, step in enumerate(steps, 1):
        raw = np.asarray(step["logits"]) if "logits" in step else given[case.logits]
        expected = reference.probabilities(raw, given[case.negative] if case.negative else None)
        found = np.zeros(SIZE)
        for token, probability in step["kept"]:
            found[int(token)] = probability
        ours, theirs = untied(raw, expected), untied(raw, found)
        far = np.abs(ours - theirs).max()
        # Tokens that are too unlikely for float32 count as cut.
        gone = ((ours > 1e-9) != (theirs > 1e-9)) & (np.maximum(ours, theirs) > 1e-5)
        if far > tolerance or gone.any():
            return (
                f"step {number}: {int((found > 0).sum())} tokens left, not {int((expected > 0).sum())}; "
                f"probabilities differ by up to {far:.2g}"
            )
        if not expected[step["token"]] > 0:
            return f"step {number}: token {step['token']} was drawn, which is cut"
        reference.learn(step["token"])
    return ""


def untied(logits: Floats, values: Floats) -> Floats:
    """Return `values` sorted by logit, those of equal logits by value: any of them may be cut."""
    return values[np.lexsort((values, np.round(logits, 3)))]
