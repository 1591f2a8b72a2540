"""A confined worker's imports are kept compiled by the host, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from filelock import FileLock

from modules.runtime.bytecode_cache import compile_imported
from modules.system.interpreter import python_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    venv.create(tmp_path / "env", symlinks=True)
    return tmp_path / "env"


def test_what_a_worker_imported_is_compiled_once_and_nothing_outside(environment: Path, tmp_path: Path) -> None:
    python = python_in(environment)
    site = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "engine_part.py").write_text("VALUE = 1\nraise SystemExit(3)\n")
    (site / "other.py").write_text("VALUE = 2\n")
    (tmp_path / "outside.py").write_text("VALUE = 3\n")
    (tmp_path / "temporary").mkdir()
    code = """
import sys, types, importlib.util
sys.dont_write_bytecode = True
import other
sys.path.insert(0, sys.argv[1])
from modules.worker.uncached_modules import record_uncached_modules
record_uncached_modules()
"""
    subprocess.run([python, "-c", code, str(ROOT)], env={"TMPDIR": str(tmp_path / "temporary")}, check=True, timeout=60)
    named = tmp_path / "temporary" / "uncompiled.txt"
    assert named.read_text().splitlines() == [str(site / "other.py")]
    lies = [
        str(site / "engine_part.py"),
        str(tmp_path / "outside.py"),
        str(site / ".." / ".." / ".." / ".." / "outside.py"),
    ]
    named.write_text("\n".join([named.read_text(), *lies, "/etc/passwd", "no.py", "\0.py"]))
    compile_imported(python, str(tmp_path / "temporary"))
    assert sorted(path.name.split(".")[0] for path in site.glob("__pycache__/*.pyc")) == ["engine_part", "other"]
    assert not (tmp_path / "__pycache__").exists()


def test_without_a_list_nothing_happens(environment: Path, tmp_path: Path) -> None:
    compile_imported(python_in(environment), str(tmp_path / "nowhere"))


def test_while_an_environment_is_compiled_another_worker_of_it_starts_no_second_run(
    environment: Path, tmp_path: Path
) -> None:
    site = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "part.py").write_text("VALUE = 1\n")
    (tmp_path / "uncompiled.txt").write_text(str(site / "part.py"))
    with FileLock(environment / "bytecode.lock"):
        compile_imported(python_in(environment), str(tmp_path))
    assert not list(site.glob("__pycache__/part*.pyc"))
    compile_imported(python_in(environment), str(tmp_path))
    assert list(site.glob("__pycache__/part*.pyc"))
