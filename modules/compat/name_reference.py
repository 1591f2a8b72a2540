"""`python3 -m modules.compat.name_reference` writes the table of docs/textgen-compat.md from the code."""

from __future__ import annotations

from pathlib import Path

from modules.compat.facade.symbols import SYMBOLS
from modules.files.paths import write_atomically
from modules.plugins.hook_reference import BEGIN, END

PAGE = Path(__file__).resolve().parents[2] / "docs" / "textgen-compat.md"


def table() -> str:
    """Return all symbols with their support as a Markdown table."""
    rows = (f"| `{symbol}` | {state} | {remark} |" for symbol, (state, remark) in SYMBOLS.items())
    return "\n".join(("| name | support | remark |", "|---|---|---|", *rows, ""))


def with_table(page: str) -> str:
    """Return the page with the current table."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    write_atomically(PAGE, with_table(PAGE.read_text(encoding="utf-8")))
