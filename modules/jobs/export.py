"""Results of evaluations as a table: in text for a terminal, and as CSV, JSON or Markdown files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modules.files.paths import write_atomically
from modules.jobs.job_spec import JobError
from modules.library.sizes import format_size

_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "model": ("model", str),
    "loader": ("loader", str),
    "perplexity": ("perplexity", lambda value: f"{value:.4g}"),
    "kl": ("KL", lambda value: f"{value:.4g}"),
    "top1_agreement": ("same top token", lambda value: f"{value:.1%}"),
    "task_accuracy": ("tasks", lambda value: f"{value:.1%}"),
    "bits_per_weight": ("bits a weight", lambda value: f"{value:.2f}"),
    "size_bytes": ("size", format_size),
    "peak_bytes": ("peak memory", format_size),
    "prefill_tokens_per_second": ("prefill t/s", lambda value: f"{value:.0f}"),
    "decode_tokens_per_second": ("decode t/s", lambda value: f"{value:.0f}"),
    "failed": ("failed checks", str),
}


def table(rows: Sequence[dict[str, object]], markdown: bool = False) -> str:
    """Return the rows as a table of text, or of Markdown. What was not measured is "-"."""
    cells = [[title for title, _ in _COLUMNS.values()], *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    if markdown:
        lines = [f"| {' | '.join(line)} |" for line in cells]
        lines.insert(1, "|---" * len(_COLUMNS) + "|")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    failed = ", ".join(check["name"] for check in row["checks"] if not check["passed"]) or "none"
    values = {**_with_tasks(row), "failed": failed}
    return ["-" if values.get(key) is None else render(values[key]) for key, (_, render) in _COLUMNS.items()]


def _with_tasks(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the share of questions that were answered right; None where none was asked."""
    return {**row, "task_accuracy": (row.get("tasks") or {}).get("accuracy")}


def export_rows(results: dict[str, object], file: Path) -> None:
    """Write the results of a comparison to `file`; its ending chooses the format. Raises JobError."""
    write_atomically(file, export_text(results, file.suffix.lower()))


def export_text(results: dict[str, Any], ending: str) -> str:
    """Return the results of a comparison in the format of `ending`: ".csv", ".json" or ".md". Raises JobError."""
    rows = results["rows"]
    if ending == ".json":
        return json.dumps(results, indent=1, ensure_ascii=False)
    if ending == ".md":
        return table(rows, markdown=True) + "\n"
    if ending == ".csv":
        buffer = io.StringIO()
        rows = [_with_tasks(row) for row in rows]
        names = [key for key in rows[0] if not isinstance(rows[0][key], (list, dict))]
        writer = csv.DictWriter(buffer, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()
    raise JobError(f"{ending[:20] or 'The file'} is none of .csv, .json and .md. Name a file with such an ending.")
