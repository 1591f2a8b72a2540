"""What the benchmark reads of llama.cpp's perplexity program, which is a shell script here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.llama_perplexity import measure

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows runs no shell scripts.")


def _program(place: Path, says: str, status: int = 0) -> Path:
    program = place / "llama-perplexity"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {place}/arguments\necho '{says}'\nexit {status}\n")
    program.chmod(0o755)
    return program


def test_the_figure_after_the_wanted_chunks_counts_even_if_the_last_lines_are_lost(tmp_path: Path) -> None:
    program = _program(tmp_path, "[1]41.2458,[2]33.0413,[3]30.5,")
    assert measure(program, tmp_path / "model.gguf", tmp_path / "text.txt", 512, 2) == 33.0413
    given = (tmp_path / "arguments").read_text().split()
    assert given[given.index("-c") + 1] == "512"
    assert int(given[given.index("--chunks") + 1]) > 2


@pytest.mark.parametrize(("says", "status", "words"), [("[1]41.2,", 0, "gave no figure"), ("no model", 1, "no model")])
def test_a_program_that_fails_is_an_error_with_its_words(tmp_path: Path, says: str, status: int, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        measure(_program(tmp_path, says, status), tmp_path / "model.gguf", tmp_path / "text.txt", 512, 2)
