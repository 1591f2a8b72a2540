"""`loaders` and `install --variant` on a machine that is made up, with an engine from a local index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.cli.parser import run
from modules.protocol.model_facts import Gpu, Machine
from tests.support.wheels import make_index, make_wheel

CARD = Gpu("cuda", "RTX 4090", 24 << 30, 20 << 30, "8.9", "570.86.10", "12.8")
MACHINE = Machine("linux", "x86_64", 8, 64 << 30, 60 << 30, (CARD,), glibc="2.39")
SPEC = """
from dataclasses import dataclass
from paddock import Claim, LoaderSpec, Variant

@dataclass(frozen=True)
class Settings:
    pass

def too_old(machine):
    return "NVIDIA's driver is too old." if machine.has("cuda") else "No NVIDIA card was found."

SPEC = LoaderSpec(
    name="toy", title="Toy", summary="A toy.", formats=("toy",), settings=Settings,
    claim=lambda facts, machine: None, accelerators=("cpu", "cuda"), requirements="requirements.txt",
    variants=(
        Variant("newest", "Newest", "cuda", "requirements-newest.txt", obstacle=too_old),
        Variant("fast", "Fast", "cuda", "requirements-fast.txt"),
    ),
    probe="import toyengine; print(toyengine.VERSION)",
)
"""


@pytest.fixture
def command(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a command with the loader `toy`. The result is its status."""
    folder = tmp_path / "user" / "loaders" / "toy"
    folder.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (folder / "spec.py").write_text(SPEC)
    (folder / "worker.py").write_text("class Engine:\n    pass\n")
    for name in ("", "-newest", "-fast"):
        wheels, index = tmp_path / f"wheels{name}", tmp_path / f"index{name}"
        make_wheel(wheels, "toyengine", "1.0", f"VERSION = 'build{name}'\n")
        make_index(index, wheels)
        (folder / f"requirements{name}.txt").write_text(
            f"# paddock: then --default-index {index.as_uri()}\ntoyengine==1.0\n"
        )
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setattr("modules.app.inspect_machine", lambda: MACHINE)
    where = ["--models", str(tmp_path / "models"), "--user-data", str(tmp_path / "user")]

    def call(*arguments: str) -> int:
        return run(root, [*arguments, *where], tmp_path)

    assert call("loaders", "enable", "toy", "--yes") == 0
    return call


def _row(capsys: pytest.CaptureFixture[str], command: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert command("loaders", "--json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return next(row for row in rows if row["name"] == "toy")


def test_the_best_variant_is_listed_installed_and_explained(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    row = _row(capsys, command)
    assert (row["installed"], row["variant"], row["variant_title"]) == (False, "fast", "Fast")
    assert row["variant_reason"] == "The best that this machine supports. Newest: NVIDIA's driver is too old."
    assert [(entry["name"], entry["usable"], entry["why_not"]) for entry in row["variants"]] == [
        ("newest", False, "NVIDIA's driver is too old."),
        ("fast", True, ""),
        ("cpu", True, ""),
    ]
    assert command("install", "toy") == 0
    said = capsys.readouterr().out
    assert "Toy build-fast is installed in toy-fast-" in said
    assert "Variant: Fast. The best that this machine supports." in said
    assert _row(capsys, command)["installed"]
    assert command("loaders") == 0
    assert "Variant: Fast. The best that" in (text := capsys.readouterr().out)
    assert "(Choose from: newest, fast, cpu.)" in text


def test_another_variant_is_chosen_kept_and_given_back(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("install", "toy", "--variant", "newest") == 0
    answer = capsys.readouterr()
    assert "Toy may not run with this variant. NVIDIA's driver is too old." in answer.err
    assert "Toy build-newest is installed" in answer.out
    row = _row(capsys, command)
    assert (row["variant"], row["installed"]) == ("newest", True)
    assert row["variant_reason"] == "You chose this variant. NVIDIA's driver is too old."
    assert command("install", "toy") == 0
    assert "Toy build-newest is installed" in capsys.readouterr().out
    assert command("install", "toy", "--variant", "auto") == 0
    assert "Toy build-fast is installed" in capsys.readouterr().out
    assert _row(capsys, command)["variant"] == "fast"


def test_an_unknown_variant_is_a_sentence(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("install", "toy", "--variant", "opencl") == 1
    assert "Toy has no variant 'opencl'. Choose auto, or one of: newest, fast, cpu." in capsys.readouterr().err
    assert command("install", "echo", "--variant", "cuda", "--show-echo") == 1
    assert "has no variant 'cuda'." in capsys.readouterr().err
