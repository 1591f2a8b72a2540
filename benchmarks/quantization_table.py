"""The rows of `python3 -m benchmarks quantization`, and their table in docs/quantization.md.

`python3 -m benchmarks.quantization_table [--add] ROWS.jsonl…` writes the table from what the benchmark printed with
--json, in one run or in several. With --add, the other rows of the table stay.
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


def write_docs(rows: Sequence[Row], page: Path, order: Sequence[str] = ()) -> None:
    """Write the table between the markers of `page`.

    `order`: names of cases. The rows of the page that are among them stay, where they are not measured again, and all
    rows come in this order. Raises RuntimeError where those rows are of another text.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not (begin and end):
        raise RuntimeError(f"{page.name} has no lines {BEGIN} and {END}.")
    keys = [key for key in _COLUMNS if key not in _SPEED]
    about = f"Measured on {time.strftime('%Y-%m-%d')}, over {rows[0].fields['tokens']:,} tokens."
    lines = {row.fields["case"]: row.cells(keys) for row in rows}
    if order:
        if about.partition(", ")[2] not in old:
            raise RuntimeError(f"The table of {page.name} was measured on another text. Measure all rows.")
        kept = {cells[0]: cells for line in old.splitlines() if (cells := line.strip("| ").split(" | "))}
        lines = {case: row for case in order if (row := lines.get(case) or kept.get(case))}
    table = [[_COLUMNS[key][0] for key in keys], ["---"] * len(keys), *lines.values()]
    text = "\n".join(f"| {' | '.join(line)} |" for line in table)
    page.write_text(f"{head}{begin}\n{about}\n\n{text}\n{end}{tail}", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Write the rows in the files that are named to the page, each case once."""
    from benchmarks.quantization import CASES, ORIGINAL  # it imports this module

    files = [name for name in arguments if name != "--add"]
    order = [ORIGINAL, *(case.name for case in CASES)] if "--add" in arguments else []
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = {fields["case"]: Row(fields) for fields in map(json.loads, lines)}
    write_docs(list(rows.values()), Path(__file__).resolve().parent.parent / "docs" / "quantization.md", order)


if __name__ == "__main__":
    main(sys.argv[1:])
