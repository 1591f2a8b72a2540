"""The rows of `python3 -m benchmarks quantization`, and their table in docs/quantization.md.

`python3 -m benchmarks.quantization_table ROWS.jsonl…` writes the table from what the benchmark printed with --json, in
one run or in several.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.library.sizes import format_size

BEGIN, END = "<!-- benchmarks quantization: begin -->", "<!-- benchmarks quantization: end -->"
KEYS = (
    *("model", "perplexity", "tokens", "kl", "top1_agreement", "bits_per_weight", "size_bytes", "peak_bytes"),
    *("load_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "text_sha256"),
)
_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "case": ("method", str),
    "perplexity": ("perplexity", lambda value: f"{value:.2f}"),
    "kl": ("KL", lambda value: f"{value:.2g}" if value > 1e-6 else "0"),
    "top1_agreement": ("same top token", lambda value: f"{value:.1%}"),
    "bits_per_weight": ("bits a weight", lambda value: f"{value:.2f}"),
    "size_bytes": ("size", format_size),
    "prefill_tokens_per_second": ("prefill t/s", lambda value: f"{value:.0f}"),
    "decode_tokens_per_second": ("decode t/s", lambda value: f"{value:.0f}"),
    "failed_checks": ("failed checks", lambda value: ", ".join(value) or "none"),
    "loads_with": ("loads with", ", ".join),
}
# Columns that the page leaves out: they mean something only beside others of an idle machine.
_SPEED = ("prefill_tokens_per_second", "decode_tokens_per_second")


@dataclass(frozen=True)
class Row:
    """One model: `fields` has the keys of _COLUMNS, of KEYS, and `quantize_seconds`. None: not measured."""

    fields: Mapping[str, Any]

    def show(self, as_json: bool) -> None:
        """Print it."""
        cells = self.cells(_COLUMNS)
        text = "   ".join(f"{_COLUMNS[key][0]} {cell}" for key, cell in zip(_COLUMNS, cells, strict=True))
        print(json.dumps({"bench": "quantization", **self.fields}) if as_json else text, flush=True)

    def cells(self, keys: Iterable[str]) -> list[str]:
        """Return the texts of the columns `keys`."""
        values = [(self.fields.get(key), _COLUMNS[key][1]) for key in keys]
        return ["-" if value is None else render(value) for value, render in values]


def write_docs(rows: Sequence[Row], page: Path) -> None:
    """Write the table between the markers of `page`."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise RuntimeError(f"{page.name} has no lines {BEGIN} and {END}.")
    page.write_text(f"{head}{begin}\n{_markdown(rows)}\n{end}{tail}", encoding="utf-8")


def _markdown(rows: Sequence[Row]) -> str:
    keys = [key for key in _COLUMNS if key not in _SPEED]
    lines = [[_COLUMNS[key][0] for key in keys], ["---"] * len(keys), *(row.cells(keys) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"Measured on {time.strftime('%Y-%m-%d')}, over {rows[0].fields['tokens']:,} tokens.\n\n{table}"


def main(files: Sequence[str]) -> None:
    """Write the rows in `files` to the page, each case once."""
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = {fields["case"]: Row(fields) for fields in map(json.loads, lines)}
    write_docs(list(rows.values()), Path(__file__).resolve().parent.parent / "docs" / "quantization.md")


if __name__ == "__main__":
    main(sys.argv[1:])
