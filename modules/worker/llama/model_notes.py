"""The context length, notes and errors of the llama.cpp loaders."""

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
    """Return the context length to load with, in tokens."""
    return settings.context or min(trained or AUTOMATIC_CONTEXT, AUTOMATIC_CONTEXT)


def context_notes(settings: LlamaCppSettings, context: int, trained: int) -> list[str]:
    """Return sentences about a context that is longer or shorter than the trained one."""
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
    """Raise SettingError for settings that llama.cpp would refuse without a reason."""
    quantized = settings.cache_type_v not in ("f32", "bf16", "f16")
    if quantized and settings.flash_attention == "off":
        raise SettingError(
            f"Cache type V (cache_type_v) cannot be {settings.cache_type_v} without flash attention. "
            "Set Flash attention to auto, or Cache type V to f16."
        )


def tensor_split_shares(settings: LlamaCppSettings) -> list[float]:
    """Return the tensor split as numbers, one per graphics card; empty for an even split. Raises SettingError."""
    try:
        return [float(part) for part in settings.tensor_split.split(",") if part.strip()]
    except ValueError:
        raise SettingError(
            f"Tensor split (tensor_split) cannot be {settings.tensor_split!r}. "
            "Write one number for each graphics card, such as 3,1."
        ) from None


# As in llama.cpp's common/arg.cpp.
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def tensor_overrides(settings: LlamaCppSettings) -> list[tuple[str, str]]:
    """Return (regular expression, device) of tensors that are placed apart. The first that matches counts. Raises
    SettingError."""
    found = []
    for entry in filter(None, map(str.strip, settings.override_tensor.split(","))):
        pattern, equals, device = entry.rpartition("=")
        try:
            re.compile(pattern)
        except re.error:
            pattern = ""
        if not (pattern and equals and device):
            raise SettingError(
                f"Tensor overrides (override_tensor) cannot contain {entry!r}. Write a regular expression, = and a "
                "device, such as ffn_.*_exps=CPU."
            )
        found.append((pattern, device))
    if settings.cpu_moe:
        return [*found, (_EXPERTS, "CPU")]
    return [*found, *((rf"blk\.{layer}{_EXPERTS}", "CPU") for layer in range(settings.n_cpu_moe))]


def load_error(name: str, said: str, context: int) -> PaddockError:
    """Return why llama.cpp did not load the file `name`, from its stderr text `said`."""
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
