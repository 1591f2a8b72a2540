"""A worker for each loader that this machine can run; the others are skipped by name, with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.library.machine import inspect_machine
from modules.protocol.loader import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.registry import Registry
from tests.contract.under_test import ROOT, UnderTest, demo_model

_COMPILED = {"llamacpp"}
_SPECS = Registry(ROOT / "loaders").shown()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of a sampling parameter concerns only the loaders that declare it."""
    unconcerned = [item for item in items if not _concerned(item)]
    if unconcerned:
        config.hook.pytest_deselected(items=unconcerned)
        items[:] = [item for item in items if _concerned(item)]


def _concerned(item: pytest.Item) -> bool:
    values = getattr(getattr(item, "callspec", None), "params", {})
    if not isinstance(values.get("spec"), LoaderSpec):
        return True
    marker = item.get_closest_marker("declares")
    name = marker.args[0] if marker else values.get("name", "")
    return not name or name in values["spec"].samplers


@pytest.fixture(scope="session")
def environments() -> Environments:
    """The clone's environments."""
    return Environments(ROOT / ".envs", ROOT / "requirements", inspect_machine())


@pytest.fixture(scope="session", params=_SPECS, ids=[f"contract-{spec.name}" for spec in _SPECS])
def spec(request: pytest.FixtureRequest) -> LoaderSpec:
    """Each loader's spec."""
    found: LoaderSpec = request.param
    return found


@pytest.fixture(scope="session")
def python(spec: LoaderSpec, environments: Environments) -> Path:
    """The interpreter of the loader's environment, which is installed where it lacks."""
    if reason := spec.runs_here(environments.machine):
        pytest.skip(f"{spec.name}: {reason}")
    if not demo_model(spec).exists():
        pytest.skip(f"{spec.name}: the demo model is not there in a format that it reads ({', '.join(spec.formats)}).")
    compiles = not environments.status(spec).installed and spec.name in _COMPILED
    if compiles and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        pytest.skip(f"{spec.name}: it is compiled when installed, and this machine has no C++ compiler.")
    environments.build(spec, lambda text, fraction: print(text))
    return environments.python(spec)


@pytest.fixture(scope="session")
def start(spec: LoaderSpec, python: Path) -> Iterator[Callable[[], UnderTest]]:
    """Starts further workers without a model, which are ended afterwards."""
    started: list[UnderTest] = []

    def begin() -> UnderTest:
        started.append(UnderTest(spec, python))
        return started[-1]

    yield begin
    for worker in started:
        worker.client.stop()


@pytest.fixture(scope="session")
def engine(spec: LoaderSpec, start: Callable[[], UnderTest]) -> UnderTest:
    """A worker with the demo model loaded."""
    worker = start()
    worker.load(demo_model(spec))
    return worker
