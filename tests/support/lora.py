"""LoRA adapters with fixed random weights, made by PEFT, as PEFT folders and as GGUF files.

`a` and `b` fit the demo model. `other` fits another model. They stay in .test-models until the demo model or
lora_maker.py changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock

from tests.support.quantize import ROOT, made_by

_SCRIPT = Path(__file__).with_name("lora_maker.py")


def demo_adapters(source: Path = ROOT / "models" / "demo") -> Path:
    """Return a folder with `a`, `b` and `other` (PEFT) and `a.gguf`, `b.gguf` and `other.gguf`.

    The first call makes it.
    """
    digest = hashlib.sha256(_SCRIPT.read_bytes() + (source / "config.json").read_bytes())
    folder = ROOT / ".test-models" / f"lora-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made_by("transformers", folder, _SCRIPT, str(source)).rename(folder)
    return folder
