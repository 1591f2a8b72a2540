"""A worker's process: the environment that it is started with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.runtime.worker_process import clean_environment


def test_a_worker_finds_the_programs_of_its_environment_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert clean_environment(tmp_path / "bin" / "python")["PATH"] == f"{tmp_path / 'bin'}{os.pathsep}/usr/bin"
