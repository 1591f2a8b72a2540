"""LoRA adapters for the demo model, made by PEFT with fixed random weights, as PEFT folders and as GGUF files.

Kept in .test-models until the demo or the maker changes: `a` and `b` fit the demo model, `other` another one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock

from tests.support.quantize import ROOT, made_by

_SCRIPT = Path(__file__).with_name("lora_maker.py")


def demo_adapters(source: Path = ROOT / "models" / "demo") -> Path:
    """A folder with `a`, `b` and `other` (PEFT) and `a.gguf`, `b.gguf` and `other.gguf`; made at first use."""
    digest = hashlib.sha256(_SCRIPT.read_bytes() + (source / "config.json").read_bytes())
    folder = ROOT / ".test-models" / f"lora-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made_by("transformers", folder, _SCRIPT, str(source)).rename(folder)
    return folder
