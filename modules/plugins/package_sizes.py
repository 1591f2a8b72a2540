"""What heavy packages cost, to be said before they are installed."""

from __future__ import annotations

# What torch takes: its CPU build on Linux, measured as the files of torch and all that it brings, and as the resident
# memory that `import torch` adds to a process (torch 2.13).
_TORCH = (
    "takes about 0.9 GB on disk, several times that where it comes with CUDA, and 0.2 GB of memory as long as Paddock "
    "runs"
)
# Those that ask for torch in their own requirements.
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
    """A sentence about the package of this canonical name, or "" if it is not known to be heavy."""
    if name == "torch":
        return f"It {_TORCH}."
    return f"It brings torch, which {_TORCH}." if name in _BRING_TORCH else ""
