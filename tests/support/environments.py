"""Install the loaders' environments for tests, and say which loaders cannot be tested here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments

_COMPILED = {"llamacpp"}
# Slow to install and to start: loader -> the environment variable that enables its tests.
_ENABLED_BY = {"vllm": "PADDOCK_TEST_VLLM"}


def not_here(spec: LoaderSpec, environments: Environments) -> str:
    """Return a sentence that says why the loader is not tested on this machine, or "" if it is."""
    if reason := spec.machine_problem(environments.machine):
        return f"{spec.name}: {reason}"
    if (variable := _ENABLED_BY.get(spec.name)) and not os.environ.get(variable):
        return f"{spec.name}: takes minutes to install and to start. Set {variable}=1 to test it."
    must_compile = not environments.status(spec).installed and spec.name in _COMPILED
    if must_compile and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return f"{spec.name}: its installation compiles code. Install a C++ compiler to test it."
    return ""


def installed(spec: LoaderSpec, environments: Environments) -> Path:
    """Build the loader's environment if it is missing, and return its interpreter."""
    environments.build(spec, lambda text, fraction: print(text))
    return environments.python(spec)
