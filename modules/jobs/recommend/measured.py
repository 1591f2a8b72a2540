"""The loss of a method as jobs measured it on this machine: the rise of the perplexity over the original's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.jobs.job_spec import FINISHED
from modules.jobs.recommend.methods import Variant
from modules.jobs.service import Jobs

_TEXT = ("text_sha256", "mode", "window", "stride", "tokens")


def measured_losses(jobs: Jobs, model: str) -> Callable[[Variant], float | None]:
    """Return a function that returns the measured loss of a variant of `model`, the newest one, or None."""
    made: dict[str, tuple[str, dict[str, Any]]] = {}
    rows: list[dict[str, Any]] = []
    for job in jobs.list():
        if job.state.status != FINISHED:
            continue
        results = jobs.results(job.id)
        if job.spec.kind == "quantize" and job.spec.model == model:
            made.setdefault(results.get("model", ""), (results.get("method", ""), results.get("settings", {})))
        elif job.spec.kind in ("evaluate", "compare"):
            rows += results.get("rows") or [results]
    originals = {_text(row): row["perplexity"] for row in reversed(rows) if row.get("model") == model}
    losses: list[tuple[str, dict[str, Any], float]] = []
    for row in rows:
        perplexity, original = row.get("perplexity"), originals.get(_text(row))
        if row.get("model") in made and perplexity is not None and original is not None:
            method, settings = made[row["model"]]
            losses.append((method, settings, round(perplexity - original, 4)))

    def loss(variant: Variant) -> float | None:
        for method, settings, value in losses:
            same = all(str(settings.get(key)) == str(wanted) for key, wanted in variant.settings.items())
            if method == variant.quantizer and same:
                return value
        return None

    return loss


def _text(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what must be equal for two perplexities to be comparable."""
    return tuple(row.get(name) for name in _TEXT)
