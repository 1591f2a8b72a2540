"""Which loaders' environments the tests may use on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments

_COMPILED = {"llamacpp"}
# Slow to install and to start, so only on wish: loader -> the environment variable that asks for it.
_ON_WISH = {"vllm": "PADDOCK_TEST_VLLM"}


def not_here(spec: LoaderSpec, environments: Environments) -> str:
    """Why the loader is not tested on this machine, as a sentence; "" if it is."""
    if reason := spec.machine_problem(environments.machine):
        return f"{spec.name}: {reason}"
    if (wish := _ON_WISH.get(spec.name)) and not os.environ.get(wish):
        return f"{spec.name}: takes minutes to install and to start. Set {wish}=1 to test it."
    compiles = not environments.status(spec).installed and spec.name in _COMPILED
    if compiles and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return f"{spec.name}: it is compiled when installed, and this machine has no C++ compiler."
    return ""


def installed(spec: LoaderSpec, environments: Environments) -> Path:
    """The interpreter of the loader's environment, which is built where it lacks."""
    environments.build(spec, lambda text, fraction: print(text))
    return environments.python(spec)
