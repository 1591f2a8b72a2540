"""A worker for each loader that this machine can run. The others are skipped by name, with the reason."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.families.llama_cpp import SAMPLERS as LLAMA_CPP
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.contract.under_test import ROOT, UnderTest, demo_model, write_remote
from tests.support.environments import installed, not_here
from tests.support.long_tests import takes_minutes

# Settings that a loader needs to support all that it declares.
_SETTINGS = {"vllm": {"lora_rank": 8}}
_SPECS = Registry(ROOT / "loaders").shown()
# Their samplers are those of the loaders transformers and autoawq, with a newer and an older version of Transformers.
_SAME_SAMPLERS = ("gptqmodel", "autogptq", "hqq")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of sampling parameters and adapters for loaders that do not declare them. Mark those of samplers
    that another loader has."""
    undeclared = [item for item in items if not _is_declared(item)]
    if undeclared:
        config.hook.pytest_deselected(items=undeclared)
        items[:] = [item for item in items if _is_declared(item)]
    for item in items:
        spec = _parameters(item).get("spec")
        if item.path.stem == "test_contract_samplers" and getattr(spec, "name", "") in _SAME_SAMPLERS:
            item.add_marker(takes_minutes)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})


def _is_declared(item: pytest.Item) -> bool:
    """Return True if the item's loader declares what the item tests."""
    values = _parameters(item)
    if not isinstance(values.get("spec"), LoaderSpec):
        return True
    if item.get_closest_marker("adapters") and not values["spec"].adapters:
        return False
    marker = item.get_closest_marker("declares")
    name = marker.args[0] if marker else values.get("name", "")
    # The remote loader is tested with llama.cpp's server, which has llama.cpp's samplers.
    honoured = LLAMA_CPP if values["spec"].name == "remote" else values["spec"].samplers
    return not name or name in honoured


@pytest.fixture(scope="session", params=_SPECS, ids=[f"contract-{spec.name}" for spec in _SPECS])
def spec(request: pytest.FixtureRequest) -> LoaderSpec:
    """Return the spec of each loader in turn."""
    found: LoaderSpec = request.param
    return found


@pytest.fixture(scope="session")
def python(spec: LoaderSpec, environments: Environments) -> Path:
    """Return the interpreter of the loader's environment. Install the environment if it is missing."""
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    if spec.name != "remote" and not demo_model(spec).exists():
        pytest.skip(f"{spec.name}: the demo model is missing in the formats that it reads ({', '.join(spec.formats)}).")
    return installed(spec, environments)


@pytest.fixture(scope="session")
def server(spec: LoaderSpec, environments: Environments) -> Iterator[None]:
    """Run llama.cpp's server with the demo model for the remote loader, and write its address to the model file."""
    if spec.name != "remote":
        yield
        return
    engine = Registry(ROOT / "loaders").get("xllamacpp")
    environments.build(engine, lambda text, fraction: print(text))
    command = [environments.python(engine), ROOT / "tests" / "support" / "llama_server.py", demo_model(engine)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        write_remote(process.stdout.readline().strip())
        yield
        process.stdin.close()


@pytest.fixture
def start(spec: LoaderSpec, python: Path, server: None) -> Iterator[Callable[[], UnderTest]]:
    """Return a function that starts another worker without a model. Each ends with the test."""
    started: list[UnderTest] = []

    def begin() -> UnderTest:
        started.append(UnderTest(spec, python))
        return started[-1]

    yield begin
    for worker in started:
        worker.client.stop()


@pytest.fixture(scope="session")
def engine(spec: LoaderSpec, python: Path, server: None) -> Iterator[UnderTest]:
    """Return a worker with the demo model loaded."""
    worker = UnderTest(spec, python)
    try:
        worker.load(demo_model(spec), **_SETTINGS.get(spec.name, {}))
        yield worker
    finally:
        worker.client.stop()
