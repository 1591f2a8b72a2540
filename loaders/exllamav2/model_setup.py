"""ExLlamaV2's configuration, cache and GPU split from the loader's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loaders.exllamav2.spec import Settings
from modules.worker.engine import Report
from modules.worker.exllama.lengths import PAGE, Lengths, choose_lengths, parse_gpu_split, progress

if TYPE_CHECKING:
    from exllamav2 import ExLlamaV2, ExLlamaV2CacheBase, ExLlamaV2Config


def lengths_of(settings: Settings, trained: int) -> Lengths:
    """Return the lengths to load with. `trained` is the trained context, 0 if unknown."""
    drafts = PAGE if settings.draft_model.strip() or settings.ngram_draft else 0
    return choose_lengths(settings, trained, drafts, extended=extends_context(settings))


def extends_context(settings: Settings) -> bool:
    """Return True if the settings extend the trained context."""
    return settings.rope_scale > 1 or settings.rope_alpha > 1 or settings.rope_yarn > 0


def apply_settings(config: ExLlamaV2Config, settings: Settings, found: Lengths) -> None:
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
    engine: Any, config: ExLlamaV2Config, settings: Settings, cache_tokens: int, report: Report, words: str
) -> tuple[ExLlamaV2, ExLlamaV2CacheBase]:
    """Load the weights and return (model, cache). `engine` is the module exllamav2; `words` names the step."""
    model = engine.ExLlamaV2(config)
    kind = getattr(engine, _CACHES[settings.cache_type])
    split = parse_gpu_split(settings.gpu_split)
    callback = progress(report, words)
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
