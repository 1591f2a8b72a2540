"""The benchmark that fills the table of docs/quantization.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quantization import Case, run_cases
from benchmarks.quantization_table import BEGIN, END, Row, write_docs
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.support.environments import not_here

ROOT = Path(__file__).resolve().parent.parent


def test_a_case_that_cannot_be_made_costs_its_own_row_alone_and_the_page_gets_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, environments = (
        Registry(ROOT / "loaders"),
        Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine()),
    )
    for loader in ("transformers", "xllamacpp"):
        if reason := not_here(registry.get(loader), environments):
            pytest.skip(reason)
    cases = (Case("Rounded to nothing", "none"), Case("GGUF Q2_K", "gguf", {"type": "Q2_K"}, "xllamacpp"))
    rows = list(run_cases(cases, {"tokens": "512", "speed": "false"}))
    assert [row.fields["case"] for row in rows] == ["demo", "GGUF Q2_K"]
    assert rows[0].fields["kl"] == pytest.approx(0, abs=1e-6)
    assert rows[1].fields["kl"] > 0.01
    assert rows[1].fields["loads_with"][0] == "xllamacpp"
    assert "Rounded to nothing: left out" in capsys.readouterr().err
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_docs(rows, page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| GGUF Q2_K | " in text


def _row(case: str, tokens: int = 100, perplexity: float = 1.0) -> Row:
    return Row({"case": case, "tokens": tokens, "perplexity": perplexity})


def test_single_rows_are_added_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write_docs([_row("demo"), _row("c"), _row("gone")], page)
    write_docs([_row("b"), _row("c", perplexity=2.0)], page, ["demo", "b", "c"])
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:2] for line in rows] == [
        ["| method", "perplexity"],
        ["| ---", "---"],
        ["| demo", "1.00"],
        ["| b", "1.00"],
        ["| c", "2.00"],
    ]
    with pytest.raises(RuntimeError, match="another text"):
        write_docs([_row("b", tokens=200)], page, ["demo", "b"])
