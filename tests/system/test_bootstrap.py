"""The first start: from nothing but Python to a command that answers, and what a start without network says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modules.system import bootstrap


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Path:
    """Return a copy of the files in git, without environments."""
    copy = tmp_path / "paddock"
    for name in ("modules", "loaders", "requirements", "presets"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "webui.py", copy)
    (copy / "models").mkdir()
    return copy


def _command() -> list[str]:
    return [getattr(sys, "_base_executable", sys.executable), "webui.py", "loaders", "--json"]


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}


def _start(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(), cwd=clone, env={**_clean(), **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_while_it_is_set_up_is_a_sentence(clone: Path) -> None:
    with subprocess.Popen(
        _command(),
        cwd=clone,
        env=_clean(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that were started in the background inherit that the signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "Creating a Python environment" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 1
    assert "The next start continues from here" in said and "Traceback" not in said


def test_a_start_without_network_is_an_error_and_the_next_one_resumes(clone: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    answer = _start(clone, **nowhere)
    assert answer.returncode != 0
    assert "Check the network" in answer.stderr
    assert "Traceback" not in answer.stderr
    answer = _start(clone)
    assert answer.returncode == 0, answer.stderr
    assert "Creating a Python environment" not in answer.stdout
    rows = json.loads(answer.stdout[answer.stdout.index("[\n") :])
    assert "xllamacpp" in [row["name"] for row in rows]
    again = _start(clone)
    assert json.loads(again.stdout) == rows
    # What belongs to another Python: of the first import on, everything of it fails.
    hostile = clone.parent / "hostile"
    hostile.mkdir()
    for name in ("pathlib", "hashlib", "yaml", "modules"):
        (hostile / f"{name}.py").write_text("raise RuntimeError('foreign')")
    foreign = {"PYTHONPATH": str(hostile), "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PIP_TARGET": str(hostile)}
    if sys.version_info >= (3, 11):
        foreign["PYTHONSAFEPATH"] = "1"
    elsewhere = _start(clone, **foreign)
    assert (json.loads(elsewhere.stdout), elsewhere.stderr) == (rows, "")
    (package,) = (clone / ".venv").glob("**/site-packages/yaml")
    shutil.rmtree(package)
    repaired = _start(clone)
    assert repaired.returncode == 0, repaired.stderr
    assert "packages are damaged (No module named 'yaml') and will be reinstalled" in repaired.stdout
    assert package.is_dir() and json.loads(_start(clone).stdout) == rows


def test_an_old_python_gets_the_required_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match="Paddock needs Python 3.10 or newer"):
        bootstrap.ensure(tmp_path, [])
