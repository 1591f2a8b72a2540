"""The benchmark of a CUDA machine, which may have one for minutes only: what fails costs its own figures alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import gpu, overhead
from benchmarks.report import Figure
from modules.protocol.errors import EnvironmentBroken
from modules.protocol.model_facts import Gpu, Machine

CARD = Machine("linux", "x86_64", 4, 2**34, 2**33, (Gpu("cuda", "a card", 2**34, 2**34),))


def test_a_case_that_fails_in_any_way_leaves_the_others_and_the_contract_comes_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(case: gpu.Case, *rest: Any) -> Iterator[Figure]:
        yield Figure("gpu", f"{case.name}, load", 1.0, "s")
        if case.form == "gptq":
            raise OSError("no disk")

    monkeypatch.setattr(gpu, "inspect_machine", lambda: CARD)
    monkeypatch.setattr(gpu, "_python", lambda environments, spec: Path(sys.executable))
    monkeypatch.setattr(gpu, "_measure", measure)
    monkeypatch.setattr(gpu, "_contract", lambda loaders: iter([Figure("gpu", "contract", 1, "passed")]))
    cases = [figure.case for figure in gpu.run()]
    assert cases == [*(f"{case.name}, load" for case in gpu.CASES), "contract"]
    assert "exllamav2, gptq: no disk" in capsys.readouterr().err


def test_a_contract_that_leaves_no_report_is_told_and_the_next_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(command: list[str], **options: Any) -> CompletedProcess[str]:
        report = command[-1].partition("=")[2]
        if "contract-second" in command:
            Path(report).write_text(
                '<testsuites><testsuite tests="3" skipped="1" failures="1" errors="0"/></testsuites>'
            )
        return CompletedProcess(command, 0)

    monkeypatch.setattr(gpu, "start", start)
    (figure,) = gpu._contract(["first", "second"])
    assert (figure.case, figure.value, figure.ratio) == ("second, contract", 1, 0.5)
    assert "first, contract: " in capsys.readouterr().err


def test_without_a_network_the_engine_of_the_python_that_runs_this_is_taken() -> None:
    def build(*arguments: Any) -> None:
        raise EnvironmentBroken("The package index did not answer.")

    environments: Any = SimpleNamespace(build=build)
    there: Any = SimpleNamespace(name="there", probe="import json")
    assert gpu._python(environments, there) == Path(sys.executable)
    with pytest.raises(EnvironmentBroken):
        gpu._python(environments, SimpleNamespace(name="absent", probe="import no_such_engine"))  # type: ignore[arg-type]


def test_a_raw_engine_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "hanging_raw.py").write_text("import sys, threading\nthreading.Event().wait()\n")
    monkeypatch.setattr(overhead, "__file__", str(tmp_path / "overhead.py"))
    with (
        pytest.raises(RuntimeError, match="hanging did not start"),
        overhead.raw(Path(sys.executable), "hanging", tmp_path, "", 0.1),
    ):
        pass
