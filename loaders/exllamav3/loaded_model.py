"""Load a model and its draft model with ExLlamaV3, and make the generator for them (version 1.6.5)."""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loaders.exllamav3.spec import Settings
from modules.families.drafts import find_draft_model, no_heads, other_vocabulary
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.exllama.lengths import PAGE, Lengths, choose_lengths, context_note, parse_gpu_split, progress

_GIGABYTE = 1 << 30
# Tokens that must stand in the text before, for what followed them to be a guess.
_MATCH = 3
# With a draft model too, the text is asked only where it repeats so many tokens. As many are guessed.
_LONG_MATCH = 16
# Tokens of a draft where neither the settings nor the draft model say it: the generator's own default.
_DRAFT_TOKENS = 4
# Rows of the largest batch that is warmed up.
_WARM_ROWS = 8


@dataclass(frozen=True)
class LoadedModel:
    """ExLlamaV3's objects of a loaded model. Only the batcher's thread may use them.

    `trained`: the trained context, 0 if unknown. `drafting`: drafts are checked.
    """

    model: Any
    cache: Any
    generator: Any
    lengths: Lengths
    trained: int
    drafting: bool
    notes: list[str]

    def parameters(self) -> int:
        """Return the number of the model's parameters."""
        linear_layer = importlib.import_module("exllamav3.modules").Linear
        config = self.model.config
        linear = [module for module in self.model if isinstance(module, linear_layer)]
        embedding = int(config.vocab_size) * int(getattr(config, "hidden_size", 0))
        return embedding + sum(int(one.in_features_unpadded) * int(one.out_features_unpadded) for one in linear)


@dataclass(frozen=True)
class Drafts:
    """Where drafts come from. `model`: the draft model without weights, or None. `longest`: tokens of the longest."""

    model: Any
    arguments: dict[str, Any]
    longest: int


def load_model(exl: Any, path: Path, settings: Settings, report: Report) -> LoadedModel:
    """Load the model in the folder `path`. `exl` is the module exllamav3.

    Raises ModelError, SettingError, and what ExLlamaV3 raises.
    """
    config = read_config(exl, path)
    tokenizer = read_tokenizer(exl, config, path)
    config.infer_params.moe_cpu_offload = settings.n_cpu_moe
    # The engine reserves room for the token after the last one.
    trained = int(config.max_position_embeddings or 0)
    lengths = choose_lengths(settings, trained, PAGE)
    # Models with one RoPE for short and one for long contexts choose by this.
    config.override_dynamic_seq_len(lengths.context)
    model = exl.Model.from_config(config)
    drafts = find_drafts(exl, path, settings, config, tokenizer)
    # A cache must be there before the weights, which decide where its layers are.
    cache = make_cache(exl, model, settings, lengths, drafts.longest)
    draft_cache = make_cache(exl, drafts.model, settings, lengths, drafts.longest) if drafts.model else None
    if drafts.model:
        words = "Loading the draft model"
        drafts.model.load(**placement(settings, lengths, tensor_parallel=False), callback=progress(report, words))
    model.load(
        **placement(settings, lengths, tensor_parallel=settings.tensor_parallel),
        callback=progress(report, "Loading the weights"),
        draft_model=drafts.model,
    )
    model.warmup(
        cache=cache,
        max_chunk_size=lengths.batch,
        max_batch_size=min(settings.slots, _WARM_ROWS),
        callback=progress(report, "Compiling and tuning kernels for this model"),
    )
    generator = exl.Generator(
        model=model,
        cache=cache,
        tokenizer=tokenizer,
        max_batch_size=settings.slots,
        max_chunk_size=lengths.batch,
        draft_cache=draft_cache,
        cpu_cache_size=int(settings.main_memory_cache * _GIGABYTE),
        draft_model=drafts.model,
        **drafts.arguments,
    )
    notes = context_note(lengths.context, trained or lengths.context)
    return LoadedModel(model, cache, generator, lengths, trained, drafts.longest > 0, notes)


def read_config(exl: Any, path: Path) -> Any:
    """Return the configuration of the model at `path`. Raises ModelError."""
    try:
        return exl.Config.from_directory(str(path))
    except (AssertionError, ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"ExLlamaV3 cannot read {path.name}: {str(error).strip() or type(error).__name__}. Try another loader, or "
            "download the model again.",
            detail=traceback.format_exc(),
        ) from None


def read_tokenizer(exl: Any, config: Any, path: Path) -> Any:
    """Return ExLlamaV3's tokenizer of the model. Raises ModelError."""
    try:
        return exl.Tokenizer.from_config(config)
    except Exception as error:
        raise ModelError(
            f"ExLlamaV3 cannot read the tokenizer of {path.name}. It needs tokenizer.json. Copy that file from the "
            f"model's source, or choose another loader. ({str(error).strip() or type(error).__name__})",
            detail=traceback.format_exc(),
        ) from None


def find_drafts(exl: Any, path: Path, settings: Settings, config: Any, tokenizer: Any) -> Drafts:
    """Return where drafts come from, by the settings. Raises ModelError for a draft model that does not fit."""
    model, named = None, settings.draft_model.strip()
    if settings.mtp_draft:
        if "mtp" not in config.model_classes:
            raise no_heads(path.name)
        model = exl.Model.from_config(config, component="mtp")
    elif named:
        model = exl.Model.from_config(_fitting(exl, find_draft_model(named, path), path, tokenizer))
    tokens = settings.draft_tokens or (int(model.caps.get("default_draft_size", _DRAFT_TOKENS)) if model else 0)
    if not settings.ngram_draft:
        return Drafts(model, {"num_draft_tokens": tokens} if model else {}, tokens if model else 0)
    if model:
        return Drafts(model, {"num_draft_tokens": tokens, "hybrid_draft_tokens": _LONG_MATCH}, max(tokens, _LONG_MATCH))
    tokens = tokens or _DRAFT_TOKENS
    return Drafts(None, {"ngram_match_min": _MATCH, "num_draft_tokens": tokens}, tokens)


def _fitting(exl: Any, folder: Path, path: Path, tokenizer: Any) -> Any:
    """Return the configuration of a draft model with the tokens of the model at `path`. Raises ModelError."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The draft model {folder.name} is no folder with a config.json. Choose another (draft_model)."
        )
    config = read_config(exl, folder)
    own, other = (one.get_vocab_dict() for one in (tokenizer, read_tokenizer(exl, config, folder)))
    if own != other:
        raise other_vocabulary(folder.name, path.name, (len(other), len(own)))
    return config


def make_cache(exl: Any, model: Any, settings: Settings, lengths: Lengths, drafted: int) -> Any:
    """Return the cache of a model that has no weights yet. `drafted`: tokens of the longest draft."""
    options: dict[str, Any] = {"max_batch_size": settings.slots, "max_history": drafted}
    if settings.cache_type == "fp16":
        return exl.Cache(model, max_num_tokens=lengths.cache, layer_type=exl.CacheLayer_fp16, **options)
    kinds = settings.cache_type, settings.cache_type_v if settings.cache_type_v != "same" else settings.cache_type
    keys, values = (int(kind.removeprefix("q")) for kind in kinds)
    kind = exl.CacheLayer_quant
    return exl.Cache(model, max_num_tokens=lengths.cache, layer_type=kind, k_bits=keys, v_bits=values, **options)


def placement(settings: Settings, lengths: Lengths, *, tensor_parallel: bool) -> dict[str, Any]:
    """Return the arguments of Model.load that say where the weights go. Raises SettingError."""
    split = parse_gpu_split(settings.gpu_split)
    return {
        "use_per_device": split,
        "reserve_per_device": settings.reserve if settings.reserve and not split else None,
        "tensor_p": tensor_parallel,
        "max_chunk_size": lengths.batch,
        "max_batch_size": settings.slots,
    }
