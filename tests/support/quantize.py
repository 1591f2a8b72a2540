"""The demo model, quantized by the loaders' quantizers, as a job does it.

Results stay in .test-models until the demo model or a quantizer changes. `python -m tests.support.quantize KIND...`
makes them in advance. Each kind takes about ten seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from modules.jobs.texts import calibration_rows
from modules.library.machine import inspect_machine
from modules.protocol.commands import Quantize
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_client import WorkerClient

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Maker:
    """The loader whose environment holds the quantizer, its method ("": _SCRIPT does it), and settings."""

    loader: str
    method: str = ""
    settings: dict[str, object] = field(default_factory=dict)


_FEW: dict[str, object] = {"group_size": 64, "samples": 16, "length": 128}
MAKERS = {
    "gptq": Maker("gptqmodel", "gptq", _FEW),
    "gptq_act_order": Maker("gptqmodel", "gptq", {**_FEW, "desc_act": True}),
    "awq": Maker("autoawq", "awq", _FEW),
    "hqq": Maker("hqq"),
    "hqq_transformers": Maker("hqq", "hqq"),
    "nf4": Maker("transformers", "bnb"),
    "exl3": Maker("exllamav3", "exl3", {"samples": 16, "length": 512}),
}
# Writes HQQ's own format, which jobs do not make.
_SCRIPT = Path(__file__).with_name("hqq_maker.py")
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
    maker = MAKERS[kind]
    code = [Path(__file__), _SCRIPT, ROOT / "loaders" / maker.loader / "quantizer.py"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in code))
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        digest.update((source / name).read_bytes())
    folder = ROOT / ".test-models" / f"{source.name}-{kind}-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(maker, source, folder)
    return folder


def made_by(loader: str, folder: Path, script: Path, *arguments: str) -> Path:
    """Run `script` with `arguments` in a loader's environment, and return the folder that it wrote.

    That folder lies beside `folder`. Rename it to `folder` once it is complete. Raise RuntimeError if the script fails.
    """
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [str(_python(loader)), str(script), *arguments, str(partial)],
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


def _make(maker: Maker, source: Path, folder: Path) -> None:
    if not maker.method:
        partial = made_by(maker.loader, folder, _SCRIPT, str(source))
        for name in _COPIED:
            if (source / name).exists():
                shutil.copyfile(source / name, partial / name)
        partial.rename(folder)
        return
    partial, work = folder.with_suffix(".part"), folder.with_suffix(".work")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    python = _python(maker.loader)
    spec = Registry(ROOT / "loaders").get(maker.loader)
    client = WorkerClient(spec, python, ROOT, lambda exit: None, OMP_NUM_THREADS="1")
    try:
        client.start()
        rows = calibration_rows("").rows
        asked = Quantize(client.next_id(), maker.method, str(source), str(partial), "demo", maker.settings, rows)
        if any(method.name == maker.method and method.resumes for method in spec.quantizers):
            work.mkdir(exist_ok=True)
            known = {"sha256": folder.name}
            asked = replace(asked, checkpoints=str(work), card={"source": known, "calibration": known})
        client.ask_with_progress(asked, lambda step, fraction: None)
    finally:
        client.stop()
        shutil.rmtree(work, ignore_errors=True)
    partial.rename(folder)


def _python(loader: str) -> Path:
    """Return the interpreter of a loader's environment, which is built if it is missing."""
    spec = Registry(ROOT / "loaders").get(loader)
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
    return environments.python(spec)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MAKERS:
        print(quantized(wanted))
