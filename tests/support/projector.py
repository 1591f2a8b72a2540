"""Projectors for the demo model, made in the environment that has gguf-py."""

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
    """Write a projector for images, for models with an embedding size of `hidden`, and return its path."""
    return _write("projector_maker.py", environments, path, hidden)


def write_audio_projector(environments: Environments, path: Path, hidden: int = HIDDEN) -> Path:
    """Write a projector for sound, for models with an embedding size of `hidden`, and return its path."""
    return _write("audio_projector_maker.py", environments, path, hidden)


def _write(maker: str, environments: Environments, path: Path, hidden: int) -> Path:
    python = installed(Registry(ROOT / "loaders").get("transformers"), environments)
    subprocess.run([python, ROOT / "tests" / "support" / maker, str(hidden), path], check=True)
    return path
