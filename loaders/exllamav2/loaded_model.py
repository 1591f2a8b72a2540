"""Load a model and its draft model with ExLlamaV2, and make the generator for them."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from loaders.exllamav2.model_headers import read_config, read_tokenizer
from loaders.exllamav2.model_setup import apply_settings, extends_context, lengths_of, load_weights
from loaders.exllamav2.spec import Settings
from modules.families.drafts import find_draft_model, other_vocabulary
from modules.protocol.errors import ModelError
from modules.worker.draft_tokens import check_same_tokens
from modules.worker.engine import Report
from modules.worker.exllama.lengths import Lengths, context_note

if TYPE_CHECKING:
    from exllamav2 import ExLlamaV2, ExLlamaV2CacheBase, ExLlamaV2Config, ExLlamaV2Tokenizer
    from exllamav2.generator import ExLlamaV2DynamicGenerator

# Tokens of a draft where the settings leave it open: the generator's own default.
_DRAFT_TOKENS = 4


@dataclass(frozen=True)
class LoadedModel:
    """ExLlamaV2's objects of a loaded model. Only the batcher's thread may use them."""

    model: ExLlamaV2
    cache: ExLlamaV2CacheBase
    own_tokenizer: ExLlamaV2Tokenizer
    generator: ExLlamaV2DynamicGenerator
    lengths: Lengths
    notes: list[str]

    def parameters(self) -> int:
        """Return the number of the model's parameters."""
        linear_layer = importlib.import_module("exllamav2.linear").ExLlamaV2Linear
        linear = [module for module in self.model.modules_dict.values() if isinstance(module, linear_layer)]
        embedding = int(self.model.config.vocab_size) * int(self.model.config.hidden_size)
        return embedding + sum(int(module.in_features) * int(module.out_features) for module in linear)


def load_model(exl: ModuleType, path: Path, settings: Settings, report: Report, stages: ExitStack) -> LoadedModel:
    """Load the model in the folder `path`. `exl` is the module exllamav2; `stages` holds staged folders while it loads.

    Raises ModelError, SettingError, and what ExLlamaV2 raises.
    """
    config = read_config(exl, path, stages)
    own_tokenizer = read_tokenizer(exl, config, path)
    notes: list[str] = []
    lengths = lengths_of(settings, config.max_seq_len)
    if not extends_context(settings):
        notes += context_note(lengths.context, config.max_seq_len, ", unless RoPE alpha is raised")
    apply_settings(config, settings, lengths)
    model, cache = load_weights(exl, config, settings, lengths.cache, report, "Loading the weights")
    draft, draft_cache = _load_draft(exl, path, settings, lengths, report, own_tokenizer, stages)
    if draft is not None and settings.ngram_draft:
        notes.append("ExLlamaV2 drafts from one source: the draft model. Draft from the text has no effect.")
    paged = _is_paged(config, draft, settings, notes)
    report("Getting ready", None)
    generator = exl.generator.ExLlamaV2DynamicGenerator(
        model=model,
        cache=cache,
        tokenizer=own_tokenizer,
        # Guidance takes two places in a batch, and each place takes up to eight tokens.
        max_batch_size=max(1, min(settings.slots * 2, lengths.batch // 8)) if paged else 1,
        max_chunk_size=lengths.batch,
        draft_model=draft,
        draft_cache=draft_cache,
        num_draft_tokens=settings.draft_tokens or _DRAFT_TOKENS,
        use_ngram_draft=settings.ngram_draft and draft is None,
        paged=paged,
    )
    return LoadedModel(model, cache, own_tokenizer, generator, lengths, notes)


def _is_paged(config: ExLlamaV2Config, draft: ExLlamaV2 | None, settings: Settings, notes: list[str]) -> bool:
    """Return True if the cache can be paged, which batches need. Otherwise add the reason to `notes`."""
    available = bool(importlib.import_module("exllamav2.attn").has_flash_attn_with_paged)
    # It is also off for architectures whose attention flash-attn does not compute.
    paged = available and not config.no_flash_attn and (draft is None or not draft.config.no_flash_attn)
    if not available:
        notes.append(
            "This loader's environment has no flash-attn 2.5.7 or later, so one reply runs at a time and only the last "
            "chat stays in the cache."
        )
    elif not paged and settings.flash_attention:
        notes.append(
            "ExLlamaV2 computes this architecture without flash-attn, so one reply runs at a time and only the last "
            "chat stays in the cache."
        )
    return paged


def _load_draft(
    exl: ModuleType,
    path: Path,
    settings: Settings,
    lengths: Lengths,
    report: Report,
    own_tokenizer: ExLlamaV2Tokenizer,
    stages: ExitStack,
) -> tuple[ExLlamaV2 | None, ExLlamaV2CacheBase | None]:
    """Return (draft model, its cache), or (None, None) if the settings name none. Raises ModelError."""
    if not settings.draft_model.strip():
        return None, None
    folder = find_draft_model(settings.draft_model, path)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The draft model {folder.name} is no folder with a config.json. Choose another (draft_model)."
        )
    config = read_config(exl, folder, stages)
    # Not vocab_size: models of one family pad the same vocabulary to different sizes.
    tokens = read_tokenizer(exl, config, folder).actual_vocab_size
    if tokens != own_tokenizer.actual_vocab_size:
        raise other_vocabulary(folder.name, path.name, (tokens, own_tokenizer.actual_vocab_size))
    check_same_tokens(path, folder)
    draft_settings = Settings(
        cache_type=settings.cache_type, flash_attention=settings.flash_attention, reserve=settings.reserve
    )
    apply_settings(config, draft_settings, lengths)
    return load_weights(exl, config, draft_settings, lengths.cache, report, "Loading the draft model")
