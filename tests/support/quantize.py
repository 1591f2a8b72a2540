"""The demo model, quantized by the engines' own quantizers.

Results stay in .test-models until the demo model or quantizers.py changes. `python -m tests.support.quantize KIND...`
makes them in advance. Each kind takes about ten seconds.
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
from modules.runtime.loader_registry import Registry

ROOT = Path(__file__).resolve().parent.parent.parent
# Kind -> the loader whose environment holds the quantizer.
MAKERS = {
    "gptq": "gptqmodel",
    "gptq_act_order": "gptqmodel",
    "awq": "autoawq",
    "hqq": "hqq",
    "hqq_transformers": "hqq",
    "nf4": "transformers",
}
_SCRIPT = Path(__file__).with_name("quantizers.py")
_COPIED = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)


def quantized(kind: str, source: Path = ROOT / "models" / "demo") -> Path:
    """Return the folder of a model quantized as `kind` (see MAKERS).

    The first call makes it. A lock file lets several processes share it.
    """
    digest = hashlib.sha256(_SCRIPT.read_bytes())
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        digest.update((source / name).read_bytes())
    folder = ROOT / ".test-models" / f"{source.name}-{kind}-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(kind, source, folder)
    return folder


def made_by(loader: str, folder: Path, script: Path, *arguments: str) -> Path:
    """Run `script` with `arguments` in a loader's environment, and return the folder that it wrote.

    That folder lies beside `folder`. Rename it to `folder` once it is complete. Raise RuntimeError if the script fails.
    """
    spec = Registry(ROOT / "loaders").get(loader)
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [str(environments.python(spec)), str(script), *arguments, str(partial)],
        # Quantizers write logs into the current folder.
        cwd=folder.parent,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{folder.name} could not be made: {done.stderr[-3000:]}")
    return partial


def _make(kind: str, source: Path, folder: Path) -> None:
    partial = made_by(MAKERS[kind], folder, _SCRIPT, kind, str(source))
    for name in _COPIED:
        if (source / name).exists():
            shutil.copyfile(source / name, partial / name)
    partial.rename(folder)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MAKERS:
        print(quantized(wanted))
