"""The ranking of loaders, and facts about the machine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

from loaders.echo.spec import SPEC as ECHO
from modules.library.machine import inspect_machine, process_memory
from modules.library.ranking import rank_loaders
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Claim, Machine, ModelFacts

GB = 1 << 30
FACTS = ModelFacts(
    "m",
    "/m",
    "gguf",
    4 * GB,
    context=8192,
    layers=32,
    hidden=4096,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocabulary=32000,
)
MACHINE = Machine("linux", "x86_64", 8, 16 * GB, 12 * GB)


def _spec(name: str, score: int | None, **changes: object) -> LoaderSpec:
    claim = Claim(score, f"{name} says so.") if score is not None else None
    base = dataclasses.replace(ECHO, name=name, title=name, hidden=False, formats=("gguf",), claim=lambda *_: claim)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_the_best_loader_comes_first_and_unable_ones_last_with_a_reason() -> None:
    specs = [_spec("low", 10), _spec("needs_cuda", 99, accelerators=("cuda",)), _spec("high", 90), _spec("no", None)]
    ranked = rank_loaders(FACTS, specs, MACHINE)
    assert [entry.loader for entry in ranked] == ["high", "low", "needs_cuda", "no"]
    assert [entry.runs for entry in ranked] == [True, True, False, False]
    assert "CUDA" in ranked[2].reason


def test_the_aim_changes_the_score_and_a_claim_that_cannot_run_comes_last() -> None:
    frugal = _spec("frugal", 40, claim=lambda *_: Claim(40, "Packs.", quality=-20, memory=50))
    refuses = _spec("refuses", 99, claim=lambda *_: Claim(99, "5 bits are none of mine.", runs=False))
    specs = [refuses, frugal, _spec("plain", 80)]
    for aim, order in (
        ("balance", ["plain", "frugal"]),
        ("quality", ["plain", "frugal"]),
        ("memory", ["frugal", "plain"]),
    ):
        ranked = rank_loaders(FACTS, specs, MACHINE, aim)
        assert [entry.loader for entry in ranked] == [*order, "refuses"], aim
    assert (ranked[-1].reason, ranked[-1].runs) == ("5 bits are none of mine.", False)


def test_a_spec_that_raises_hides_no_other() -> None:
    def broken(facts: ModelFacts, machine: Machine) -> Claim | None:
        raise ZeroDivisionError

    ranked = rank_loaders(FACTS, [_spec("broken", 1, claim=broken), _spec("good", 5)], MACHINE)
    assert [entry.loader for entry in ranked] == ["good", "broken"]
    assert "ZeroDivisionError" in ranked[1].reason


def test_a_model_with_a_problem_runs_nowhere() -> None:
    broken = dataclasses.replace(FACTS, problems=("The file is cut short.",))
    assert [(entry.runs, entry.reason) for entry in rank_loaders(broken, [_spec("good", 5)], MACHINE)] == [
        (False, "The file is cut short.")
    ]


def test_machine_facts_need_no_torch() -> None:
    machine = inspect_machine()
    assert 1 <= machine.cpus <= (os.cpu_count() or 1)
    assert 0 < machine.free_bytes <= machine.memory_bytes
    assert machine.system in ("linux", "darwin", "windows")


def test_memory_of_a_process_counts_its_children_and_ends_with_it() -> None:
    code = "x = bytearray(50_000_000); print(flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert process_memory(process.pid) > 50_000_000
        process.stdin.close()
    assert process_memory(process.pid) == 0
