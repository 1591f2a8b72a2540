"""The first start: from nothing but Python to a command that answers, and what a start without network says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modules import bootstrap


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Path:
    """A copy of what is in git, without environments."""
    copy = tmp_path / "paddock"
    for name in ("modules", "loaders", "requirements", "presets"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "webui.py", copy)
    (copy / "models").mkdir()
    return copy


def _start(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    python = getattr(sys, "_base_executable", sys.executable)
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run(
        [python, "webui.py", "loaders", "--json"],
        cwd=clone,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_start_without_network_says_so_and_the_next_one_goes_on(clone: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    answer = _start(clone, **nowhere)
    assert answer.returncode != 0
    assert "Check the network" in answer.stderr
    assert "Traceback" not in answer.stderr
    answer = _start(clone)
    assert answer.returncode == 0, answer.stderr
    assert "Making a Python environment" not in answer.stdout
    rows = json.loads(answer.stdout[answer.stdout.index("[\n") :])
    assert "xllamacpp" in [row["name"] for row in rows]
    again = _start(clone)
    assert json.loads(again.stdout) == rows


def test_an_old_python_is_told_which_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match="Paddock needs Python 3.10 or newer"):
        bootstrap.ensure(tmp_path, [])
