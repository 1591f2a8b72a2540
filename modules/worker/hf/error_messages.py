"""Converts errors of torch and Transformers to sentences with a next step."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.protocol.errors import ModelError, OutOfMemory, PaddockError
from modules.protocol.schema import describe

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if torch, on any device, or Python ran out of memory."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS)
    )


def free_memory() -> None:
    """Return the memory that torch caches to the system."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def out_of_memory_error(doing: str, lower: tuple[str, ...], schema: type) -> Iterator[None]:
    """Convert an out-of-memory error to OutOfMemory: "Not enough memory for `doing`" and the settings to lower."""
    try:
        yield
        return
    except Exception as error:
        if isinstance(error, PaddockError) or not is_out_of_memory(error):
            raise
        labels = {entry.name: entry.info.label for entry in describe(schema)}
        known = tuple(name for name in lower if name in labels)
        advice = f"Lower {' or '.join(labels[name] for name in known)}, or choose" if known else "Choose"
        failure = OutOfMemory(
            f"Not enough memory for {doing}. {advice} a smaller model.",
            detail=traceback.format_exc(),
            lower=known,
        )
    # Outside the handler, so that no traceback keeps the tensors alive.
    free_memory()
    raise failure


@contextmanager
def load_error(folder: Path) -> Iterator[None]:
    """Convert the errors of Transformers for a folder that it cannot load to ModelError."""
    try:
        yield
    except PaddockError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(_sentence(error, folder), detail=traceback.format_exc()) from error


def _sentence(error: Exception, folder: Path) -> str:
    words = str(error)
    first = words.strip().split("\n")[0][:300]
    if type(error).__name__ == "SafetensorError":
        return f"A weights file of {folder.name} is damaged ({first}). Download the model again."
    if "trust_remote_code" in words:
        return (
            f"{folder.name} contains its own code, which does not run without your consent. Start Paddock with "
            f"--trust-remote-code {folder.name} if you trust its author, or choose another model."
        )
    if "does not recognize this architecture" in words or "Unrecognized model" in words:
        return (
            f"This version of Transformers does not know the architecture of {folder.name}. It may need a newer "
            "Transformers, or another loader."
        )
    if isinstance(error, ImportError):
        return f"{folder.name} needs a package that this loader lacks: {first} Choose another loader or setting."
    if "mismatch" in words:
        return f"The weights of {folder.name} have other shapes than its config.json says. Download the model again."
    return f"Transformers cannot load {folder.name}: {type(error).__name__}: {first} Try another loader or model."
