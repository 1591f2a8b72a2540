"""A projector for the demo model, made in the environment that has gguf-py."""

from __future__ import annotations

import subprocess
from pathlib import Path

from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.support.environments import installed

ROOT = Path(__file__).resolve().parents[2]
# Hidden size of the demo model.
HIDDEN = 256


def write_projector(environments: Environments, path: Path, hidden: int = HIDDEN) -> Path:
    """Write a projector for models with an embedding size of `hidden`, and return its path."""
    python = installed(Registry(ROOT / "loaders").get("transformers"), environments)
    subprocess.run([python, ROOT / "tests" / "support" / "projector_maker.py", str(hidden), path], check=True)
    return path
