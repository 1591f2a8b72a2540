"""LoRA adapters for the demo model, made by PEFT with fixed random weights, as PEFT folders and as GGUF files.

Kept in .test-models until the demo or the maker changes: `a` and `b` fit the demo model, `other` another one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.registry import Registry

ROOT = Path(__file__).resolve().parent.parent.parent
_SCRIPT = Path(__file__).with_name("lora_maker.py")


def demo_adapters(source: Path = ROOT / "models" / "demo") -> Path:
    """A folder with `a`, `b` and `other` (PEFT) and `a.gguf`, `b.gguf` and `other.gguf`; made at first use."""
    digest = hashlib.sha256(_SCRIPT.read_bytes() + (source / "config.json").read_bytes())
    folder = ROOT / ".test-models" / f"lora-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(source, folder)
    return folder


def _make(source: Path, folder: Path) -> None:
    spec = Registry(ROOT / "loaders").get("transformers")
    environments = Environments(ROOT / ".envs", ROOT / "requirements", inspect_machine())
    environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [str(environments.python(spec)), str(_SCRIPT), str(source), str(partial)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The adapters could not be made: {done.stderr[-3000:]}")
    partial.rename(folder)
