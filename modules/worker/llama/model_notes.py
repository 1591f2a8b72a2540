"""What both llama.cpp loaders say about a model: the context it gets, notes for the user, and errors in plain words."""

from __future__ import annotations

import re

from modules.families.llama_cpp import AUTOMATIC_CONTEXT, LOWER_FOR_MEMORY, LlamaCppSettings
from modules.protocol.errors import ModelError, OutOfMemory, PaddockError, SettingError

_MEMORY = re.compile(
    r"failed to allocate|out of memory|bad_alloc|unable to allocate|insufficient memory|"
    r"failed to initialize the context",
    re.IGNORECASE,
)
_CACHE = re.compile(r"kv.?cache|failed to initialize the context|llama_init_from_model|init_memory", re.IGNORECASE)


def choose_context(settings: LlamaCppSettings, trained: int) -> int:
    """The context to load with, in tokens."""
    return settings.context or min(trained or AUTOMATIC_CONTEXT, AUTOMATIC_CONTEXT)


def context_notes(settings: LlamaCppSettings, context: int, trained: int) -> list[str]:
    """Sentences about a context that is longer or shorter than what the model was made for."""
    if not trained:
        return []
    if context > trained and settings.rope_scaling == "model" and not settings.rope_freq_base:
        return [
            (
                f"The context of {context} tokens is longer than the {trained} that this model was made for. "
                "Beyond those its quality falls, unless you set RoPE scaling to yarn."
            )
        ]
    if not settings.context and context < trained:
        return [
            (
                f"This model was made for {trained} tokens, and {context} are in use, to spare memory. "
                "Raise Context length for longer chats."
            )
        ]
    return []


def check_settings(settings: LlamaCppSettings) -> None:
    """Refuse what llama.cpp would refuse without saying why. Raises SettingError."""
    quantized = settings.cache_type_v not in ("f32", "bf16", "f16")
    if quantized and settings.flash_attention == "off":
        raise SettingError(
            f"Cache type V (cache_type_v) cannot be {settings.cache_type_v} without flash attention. "
            "Set Flash attention to auto, or Cache type V to f16."
        )


def tensor_split_shares(settings: LlamaCppSettings) -> list[float]:
    """The tensor split as numbers, one for each graphics card; empty for an even one. Raises SettingError."""
    try:
        return [float(part) for part in settings.tensor_split.split(",") if part.strip()]
    except ValueError:
        raise SettingError(
            f"Tensor split (tensor_split) cannot be {settings.tensor_split!r}. "
            "Write one number for each graphics card, such as 3,1."
        ) from None


def load_error(name: str, said: str, context: int) -> PaddockError:
    """Why llama.cpp would not load the file `name`, from what it `said` on stderr."""
    if _MEMORY.search(said):
        what = f"a context of {context} tokens" if _CACHE.search(said) else f"{name} with a context of {context} tokens"
        return OutOfMemory(
            f"There is not enough memory for {what}. Lower Context length, choose cache type q8_0, "
            "or take a smaller quantization of the model.",
            detail=said,
            lower=LOWER_FOR_MEMORY,
        )
    unknown = re.search(r"unknown model architecture: '([^']*)'", said)
    if unknown:
        return ModelError(
            f"This version of llama.cpp does not know the architecture {unknown[1]!r} of {name}. "
            "Choose another loader or another model.",
            detail=said,
        )
    if re.search(r"not within the file bounds|corrupted or incomplete|read error|unexpectedly reached end", said):
        return ModelError(f"{name} is cut short or corrupt. Download it again.", detail=said)
    because = re.findall(r"error loading model[^:]*: ?(.+)", said)
    reason = f": {because[-1].strip()}" if because else ""
    return ModelError(f"llama.cpp cannot load {name}{reason}. Download it again, or try another model.", detail=said)
