"""A job's specification and results after one of its models or adapters was renamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from modules.jobs.job_spec import JobSpec

# Keys of results, and of the rows of a comparison, whose value is a name in models/.
_NAMES = ("model", "adapter", "source", "merged_adapter", "against")


def renamed_spec(spec: JobSpec, old: str, new: str) -> JobSpec:
    """Return the specification with `new` in place of the name `old`, so that the job can be repeated."""
    names: dict[str, Any] = {key: new for key in ("model", "against", "adapter") if getattr(spec, key) == old}
    return dataclasses.replace(spec, **names, models=[new if name == old else name for name in spec.models])


def renamed_results(results: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return the results with `new` in place of the name `old`."""
    found = _row(results, old, new)
    if "rows" in found:
        found["rows"] = [_row(row, old, new) for row in found["rows"]]
        found["answers"] = [
            {**entry, "answers": {new if model == old else model: text for model, text in entry["answers"].items()}}
            for entry in found["answers"]
        ]
    return found


def _row(row: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {key: new if key in _NAMES and value == old else value for key, value in row.items()}
