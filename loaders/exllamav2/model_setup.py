"""ExLlamaV2's configuration, cache and GPU split from the loader's settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loaders.exllamav2.spec import Settings
from modules.protocol.errors import ModelError, SettingError
from modules.protocol.schema import describe
from modules.worker.engine import Report

# Tokens in a page of the cache. All lengths are multiples of it.
PAGE = 256
_DEFAULT_CONTEXT = next(entry.default for entry in describe(Settings) if entry.name == "context")


@dataclass(frozen=True)
class Lengths:
    """Lengths in tokens, multiples of a page. `cache`: of all replies, with room for drafts beyond the end."""

    context: int
    cache: int
    batch: int


def choose_lengths(settings: Settings, trained: int) -> Lengths:
    """Return the lengths to load with. `trained` is the trained context, 0 if unknown."""
    context = settings.context
    if trained and context == _DEFAULT_CONTEXT and not extends_context(settings):
        context = min(context, trained)
    context = round_up_to_pages(context)
    drafts = PAGE if settings.draft_model or settings.ngram_draft else 0
    return Lengths(
        context,
        max(context, round_up_to_pages(settings.cache_tokens)) + drafts,
        min(round_up_to_pages(settings.batch), context),
    )


def extends_context(settings: Settings) -> bool:
    """Return True if the settings extend the trained context."""
    return settings.rope_scale > 1 or settings.rope_alpha > 1 or settings.rope_yarn > 0


def round_up_to_pages(tokens: int) -> int:
    """Return `tokens`, rounded up to whole pages."""
    return math.ceil(tokens / PAGE) * PAGE


def parse_gpu_split(text: str) -> list[float] | None:
    """Parse '20, 22' as [20.0, 22.0]; None for an automatic split. Raises SettingError."""
    parts = [part for part in text.replace(";", ",").split(",") if part.strip()]
    try:
        split = [float(part) for part in parts]
    except ValueError:
        split = [-1.0]
    if any(not 0 <= part < 10_000 for part in split):
        raise SettingError(
            f"GPU split (gpu_split) cannot be {text!r}. Write one number of GB for each graphics card, such as 20, 22."
        )
    return split or None


def apply_settings(config: Any, settings: Settings, found: Lengths) -> None:
    """Write the settings into an ExLlamaV2Config that has read the model's folder."""
    if settings.rope_yarn > 0:
        if config.alt_rope_method != "yarn":
            config.yarn_rope_original_max_position_embeddings = config.max_seq_len
        config.alt_rope_method = "yarn"
        config.yarn_rope_factor = settings.rope_yarn
    config.max_seq_len = found.context + (PAGE if found.cache > found.context else 0)
    config.max_input_len = found.batch
    config.max_attention_size = found.batch**2
    if settings.rope_scale > 1:
        config.scale_pos_emb = settings.rope_scale
    if settings.rope_alpha > 1:
        config.scale_alpha_value = settings.rope_alpha
    if not settings.flash_attention:
        config.no_flash_attn = True
    config.arch_compat_overrides()


def load_weights(
    engine: Any, config: Any, settings: Settings, cache_tokens: int, report: Report, words: str
) -> tuple[Any, Any]:
    """Load the weights and return (model, cache). `engine` is the module exllamav2; `words` names the step."""
    model = engine.ExLlamaV2(config)
    kind = getattr(engine, _CACHES[settings.cache_type])
    split = parse_gpu_split(settings.gpu_split)
    callback = _progress(report, words)
    if settings.tensor_parallel:
        model.load_tp(split, callback=callback, expect_cache_tokens=cache_tokens, expect_cache_base=kind)
        return model, engine.ExLlamaV2Cache_TP(model, base=kind, max_seq_len=cache_tokens)
    if split:
        model.load(split, callback=callback)
        return model, kind(model, max_seq_len=cache_tokens)
    cache = kind(model, max_seq_len=cache_tokens, lazy=True)
    reserve = int(settings.reserve * 2**30) or None
    model.load_autosplit(cache, reserve_vram=reserve, last_id_only=True, callback=callback)
    return model, cache


_CACHES = {"fp16": "ExLlamaV2Cache", "q8": "ExLlamaV2Cache_Q8", "q6": "ExLlamaV2Cache_Q6", "q4": "ExLlamaV2Cache_Q4"}


def _progress(report: Report, words: str) -> Callable[[int, int], None]:
    return lambda done, total: report(words, done / total if total else None)


def sibling_folder(name: str, model: Path, holds: str) -> Path:
    """Return the folder `name`, a full path or relative to the model's parent folder. Raises ModelError."""
    path = Path(name).expanduser()
    path = path if path.is_absolute() else model.parent / path
    if not (path / holds).is_file():
        raise ModelError(f"There is no folder {name} with {holds} beside {model.name}. Copy it there, or correct it.")
    return path
