"""ExLlamaV2's and ExLlamaV3's Python files without their compiled parts, so that a processor can run what they do.

The files are those of the packages that the loaders pin. `install` fetches them. The rest runs in an environment with
torch.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

FOLDER = Path(__file__).resolve().parents[2] / ".test-models" / "exllama"
PACKAGES = {"exllamav2": "0.3.2", "exllamav3": "1.6.5"}
# Beside the kernels: packages that the environments of other loaders do not have, and that no test calls.
_ABSENT = (
    "triton",
    "triton.language",
    "triton.language.extra",
    "triton.runtime",
    "triton.testing",
    "marisa_trie",
    "websockets",
    "pandas",
    "fastparquet",
)


def install() -> None:
    """Fetch the packages, without what they need. Does nothing for those that are there."""
    from uv import find_uv_bin

    from modules.system.pip_config import package_sources, read_pip_config

    sources = package_sources(read_pip_config())
    for name, version in PACKAGES.items():
        if not _folder(name).is_dir():
            command = [find_uv_bin(), "pip", "install", "-q", "--no-deps", "--target", str(_folder(name))]
            environment = {**os.environ, **sources.environment}
            subprocess.run([*command, f"{name}=={version}", *sources.arguments], check=True, env=environment)


def import_engine(name: str) -> Any:
    """Return the engine's module, with stand-ins for what is compiled; None if its files are not there."""
    if not _folder(name).is_dir():
        return None
    if name not in sys.modules:
        sys.path.append(str(_folder(name)))
        # torch's compiler asks for triton while it is imported, and must not find the stand-in.
        importlib.import_module("llguidance.torch")
        for absent in [one for one in _ABSENT if one not in sys.modules and not find_spec(one.partition(".")[0])]:
            sys.modules[absent] = MagicMock(__spec__=ModuleSpec(absent, None))
        sys.modules[f"{name}.ext"] = kernels(name)
    return importlib.import_module(name)


def kernels(name: str) -> ModuleType:
    """Return a stand-in for the module that compiles and imports the kernels, with the few that replies need."""
    torch = importlib.import_module("torch")
    module = ModuleType(f"{name}.ext")
    calls = MagicMock(
        count_match=_count_match,
        count_match_tensor=_count_match,
        sample_basic=_sample_likeliest,
        fast_fadd_cpu=lambda logits, bias: logits.add_(bias),
        generator_stage_decode=_stage_decode,
    )
    vars(module).update({f"{name}_ext": calls, "none_tensor": torch.empty((1, 1), device="meta")})
    vars(module).update(make_group_map=MagicMock(), make_q_matrix=MagicMock())
    return module


def _count_match(one: Any, other: Any, most: int) -> int:
    """Return how many tokens two rows have in common from their beginnings, at most `most`."""
    pairs = zip(one[0].tolist()[:most], other[0].tolist(), strict=False)
    return next((count for count, (left, right) in enumerate(pairs) if left != right), min(most, other.shape[-1]))


def _stage_decode(*arguments: Any) -> None:
    """Write the token of each row that is read next into the batch and into its page of the cache."""
    positions, batch, *rows = arguments[3], *arguments[5:]
    for row, (tokens, page, offset) in enumerate(zip(*rows, strict=True)):
        batch[row, 0] = page[0, offset] = tokens[0, positions[row]]


def _sample_likeliest(logits: Any, *arguments: Any) -> list[float]:
    """Write the likeliest token where ExLlamaV2's sampler would write the one that it drew."""
    arguments[8].copy_(logits[:, 0, :].argmax(-1, keepdim=True))
    return []


def _folder(name: str) -> Path:
    return FOLDER / f"{name}-{PACKAGES[name]}"
