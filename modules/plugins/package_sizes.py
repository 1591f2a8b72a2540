"""Disk and memory use of large packages, shown before they are installed."""

from __future__ import annotations

# Measured with the CPU build of torch 2.13 on Linux: the files of torch and its dependencies, and the resident memory
# that `import torch` adds.
_TORCH = "uses about 0.9 GB on disk, several times that with CUDA, and 0.2 GB of memory while Paddock runs"
# Packages that require torch.
_BRING_TORCH = frozenset(
    {
        "accelerate",
        "bitsandbytes",
        "kokoro",
        "openai-whisper",
        "peft",
        "sentence-transformers",
        "silero",
        "timm",
        "torchaudio",
        "torchvision",
        "tts",
    }
)


def cost(name: str) -> str:
    """Return a sentence about the package of this canonical name; "" if it is not known to be large."""
    if name == "torch":
        return f"It {_TORCH}."
    return f"It requires torch, which {_TORCH}." if name in _BRING_TORCH else ""
