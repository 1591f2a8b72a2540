"""Runs the tests of the Transformers engine in loaders' environments, which have torch, with pytest from elsewhere."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.system.pip_config import package_sources, read_pip_config
from tests.support import exllama_engines

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "worker").glob("test_hf_*.py"))
# Older versions of Transformers have other interfaces for attention and caches.
OLDER = [f"tests/worker/test_hf_{name}.py" for name in ("attention", "cache")]
CASES = [
    *(("transformers", suite) for suite in SUITES),
    ("transformers", "tests/loaders/test_exllamav2_logprobs.py"),
    # The last of that environment, since it puts stand-ins for missing packages among the modules.
    ("transformers", "tests/loaders/test_exllama_engines.py"),
    *(("autogptq", suite) for suite in OLDER),
    ("autoawq", "tests/worker/test_awq_int4.py"),
]


@dataclass(frozen=True)
class Results:
    """What pytest printed in a loader's environment, and the test cases of its report."""

    output: str
    cases: list[ElementTree.Element]

    def of(self, suite: str) -> tuple[list[str], list[str]]:
        """Return the names of the tests of `suite` that passed, and of those that failed."""
        own = [case for case in self.cases if case.get("classname") == suite.removesuffix(".py").replace("/", ".")]
        failed = [case for case in own if case.find("failure") is not None or case.find("error") is not None]
        passed = [case for case in own if case not in failed and case.find("skipped") is None]
        return [case.get("name", "") for case in passed], [case.get("name", "") for case in failed]


@pytest.fixture(scope="module")
def pytest_folder() -> Path:
    """Return a folder with pytest only, for an interpreter without it."""
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


@pytest.fixture(scope="module")
def run(pytest_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    """Return a function that runs all suites of a loader at its first call: importing torch takes most of the time."""

    @functools.cache
    def run(loader: str) -> Results:
        spec = Registry(ROOT / "loaders").get(loader)
        environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
        environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
        report = tmp_path_factory.mktemp(loader) / "report.xml"
        if loader == "transformers":
            exllama_engines.install()
        suites = [suite for name, suite in CASES if name == loader]
        options = ["-q", "--noconftest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [str(environments.python(spec)), "-m", "pytest", *options, *suites],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(pytest_folder), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
        return Results(done.stdout[-6000:] + done.stderr[-2000:], [*cases])

    return run


@pytest.mark.parametrize("loader, suite", CASES)
def test_hf_suite_passes_in_the_environment_of(loader: str, suite: str, run: Callable[[str], Results]) -> None:
    results = run(loader)
    print(results.output)
    passed, failed = results.of(suite)
    assert passed and not failed
