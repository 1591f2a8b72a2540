"""What a training writes beside its checkpoints while it runs: the losses so far, and the answers to its sample prompt.

The worker writes these files and the host reads them, so the page can draw a curve before the training has ended.
Standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

_LOSSES, SAMPLES = "losses.json", "samples.jsonl"


def losses(history: Iterable[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Return {"losses": [(step, loss)], "validation": [(step, loss)]} of the `log_history` of Transformers' Trainer.

    Losses that are not numbers are left out.
    """
    found: dict[str, list[tuple[int, float]]] = {"losses": [], "validation": []}
    for row in history:
        for key, name in (("loss", "losses"), ("eval_loss", "validation")):
            if key in row and math.isfinite(float(row[key])):
                found[name].append((int(row["step"]), float(row[key])))
    return found


def write_losses(folder: Path, history: Iterable[Mapping[str, float]]) -> None:
    """Write the losses so far into the folder of checkpoints. A reader sees the old file or the new one."""
    partial = folder / f"{_LOSSES}.part"
    partial.write_text(json.dumps(losses(history)), encoding="utf-8")
    partial.replace(folder / _LOSSES)


def read_samples(folder: Path) -> list[dict[str, object]]:
    """Return the answers so far, each {"step", "epoch", "text"}, in the order of their steps."""
    try:
        lines = (folder / SAMPLES).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows: dict[int, dict[str, object]] = {}
    for line in lines:
        try:
            row = json.loads(line)
            # After a resume, steps since the checkpoint were made twice.
            rows[int(row["step"])] = row
        except (ValueError, KeyError, TypeError):  # the line is being written
            continue
    return [row for _, row in sorted(rows.items())]


def read_curve(folder: Path) -> dict[str, object]:
    """Return {"losses", "validation", "samples"} of a training that runs or was stopped; empty lists before the first
    step."""
    try:
        found = json.loads((folder / _LOSSES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = losses([])
    return {**found, "samples": read_samples(folder)}
