"""Tests of the Transformers engine need torch, so they run in a loader's environment: pytest is put beside it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.system.pip_config import package_sources, read_pip_config

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "worker").glob("test_hf_*.py"))
# Older Transformers are given attention in another way, and have caches of another kind.
OLDER = [f"tests/worker/test_hf_{name}.py" for name in ("attention", "cache")]
CASES = [
    *(("transformers", suite) for suite in SUITES),
    *(("autogptq", suite) for suite in OLDER),
    ("autoawq", "tests/worker/test_awq_int4.py"),
]


@pytest.fixture(scope="module")
def pytest_folder() -> Path:
    """A folder holding pytest and nothing else, for an interpreter that has none."""
    from uv import find_uv_bin

    folder = ROOT / ".test-models" / "pytest"
    sources = package_sources(read_pip_config())
    wanted = f"pytest=={importlib.metadata.version('pytest')}"
    subprocess.run(
        [find_uv_bin(), "pip", "install", "-q", "--target", str(folder), wanted, *sources.arguments],
        check=True,
        env={**os.environ, **sources.environment},
    )
    return folder


@pytest.mark.parametrize("loader, suite", CASES)
def test_hf_suite_passes_in_the_environment_of(loader: str, suite: str, pytest_folder: Path) -> None:
    spec = Registry(ROOT / "loaders").get(loader)
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
    answer = subprocess.run(
        [str(environments.python(spec)), "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", suite],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(pytest_folder), "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(answer.stdout[-6000:], answer.stderr[-2000:])
    assert answer.returncode == 0
    assert " passed" in answer.stdout
