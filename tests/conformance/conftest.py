"""Results of each loader that exposes probabilities, computed once in its own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conformance.cases import DRAWN, with_seeds
from tests.conformance.engines import ENGINES, Engine, cases
from tests.conformance.probing import ask
from tests.support.environments import installed, not_here

ROOT = Path(__file__).resolve().parent.parent.parent
_SPECS = [spec for spec in Registry(ROOT / "loaders").shown() if spec.name in ENGINES]


@pytest.fixture(scope="session", params=_SPECS, ids=[f"conformance-{spec.name}" for spec in _SPECS])
def spec(request: pytest.FixtureRequest) -> LoaderSpec:
    """Return the spec of each loader that exposes probabilities in turn."""
    found: LoaderSpec = request.param
    return found


@pytest.fixture(scope="session")
def engine(spec: LoaderSpec) -> Engine:
    """Return how that loader is probed."""
    return ENGINES[spec.name]


@pytest.fixture(scope="session")
def found(spec: LoaderSpec, engine: Engine, environments: Environments) -> dict[str, Any]:
    """Return the results of probing.ask for all cases of the loader, with many seeds for the drawn ones."""
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    drawn = [one for case in DRAWN for one in with_seeds(case, engine.draws)]
    return ask(installed(spec, environments), engine.probe, [*cases(spec), *drawn])
