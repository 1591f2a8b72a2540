"""Convert the loader's settings to vLLM's engine arguments (vllm/engine/arg_utils.py, version 0.32.0)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loaders.vllm.spec import Settings
from modules.families.drafts import check_one_model, find_draft_model, no_heads, other_vocabulary
from modules.protocol.errors import SettingError
from modules.protocol.schema import describe
from modules.worker.draft_tokens import check_same_tokens
from modules.worker.hf.model_files import check_folder

# Read when vLLM is imported. No telemetry. Processes are spawned, not forked. The engine runs in this process, since
# passing every token between processes cost a third of the speed.
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
# Tokens in a block of the cache. vLLM's default for CPUs, 128, would drop most of a short chat.
BLOCK = 16
CPU_BLOCK = 32
# Maximum number of next-token probabilities in a request.
MOST_PROBABILITIES = 100

_DEFAULT_CONTEXT = next(entry.default for entry in describe(Settings) if entry.name == "context")
_GIB = 2**30
# vLLM has no default for the length of a draft. The text's last tokens, from the most to the least of these, must stand
# in it before.
_DRAFT_TOKENS = 5
_LEAST_MATCH, _MOST_MATCH = 2, 4
# A system allows AMX to a process and its forks, not to a process that it starts.
_SPAWNED = Path(__file__).parent / "spawned"
_CPU_WORKER = "amx_worker.AmxWorker"
_LEAST_CACHE = 64 * 2**20
_CONTEXTS_ON_CPU = 2


def choose_context(settings: Settings, config: Mapping[str, object]) -> tuple[int, int]:
    """Return (context to load with, trained context or 0). Raises SettingError."""
    trained = _number(config, "max_position_embeddings")
    if trained and settings.context > trained:
        if settings.context != _DEFAULT_CONTEXT:
            raise SettingError(
                f"Context length (context) cannot be {settings.context}: the trained context is {trained} tokens, and "
                "vLLM does not exceed it. Lower it, or choose a loader that can scale RoPE."
            )
        return trained, trained
    return settings.context, trained


def engine_arguments(
    path: Path, settings: Settings, config: Mapping[str, object], context: int, cpu: bool
) -> dict[str, object]:
    """Return keyword arguments of EngineArgs. `cpu` is True for vLLM's build for CPUs."""
    arguments: dict[str, object] = {
        "model": str(path),
        "served_model_name": path.name,
        "max_model_len": context,
        "max_num_seqs": settings.slots,
        "dtype": settings.dtype,
        "kv_cache_dtype": settings.cache_type,
        "tensor_parallel_size": settings.tensor_parallel,
        "pipeline_parallel_size": settings.pipeline_parallel,
        "gpu_memory_utilization": settings.memory_share,
        "enable_prefix_caching": settings.prefix_caching,
        "block_size": CPU_BLOCK if cpu else BLOCK,
        "enforce_eager": settings.compile == "off" or (settings.compile == "auto" and cpu),
        "max_logprobs": MOST_PROBABILITIES,
        "disable_log_stats": True,
        # The model's sampling defaults would change what neutral parameters mean.
        "generation_config": "vllm",
    }
    if cpu:
        arguments["worker_cls"] = _CPU_WORKER
    if settings.quantization != "auto":
        arguments["quantization"] = settings.quantization
    if settings.executor != "auto":
        arguments["distributed_executor_backend"] = settings.executor
    if settings.offload_gb:
        arguments["cpu_offload_gb"] = settings.offload_gb
    if settings.lora_rank:
        arguments.update(enable_lora=True, max_lora_rank=settings.lora_rank, max_loras=1)
    if settings.cache_gb:
        arguments["kv_cache_memory_bytes"] = int(settings.cache_gb * _GIB)
    elif cpu:
        token = cache_bytes_per_token(config) + _draft_bytes_per_token(path, settings)
        arguments["kv_cache_memory_bytes"] = max(_LEAST_CACHE, _CONTEXTS_ON_CPU * context * token)
    if drafts := _drafts(path, settings, config):
        arguments["speculative_config"] = drafts
    return arguments


def with_draft_path(settings: Settings, model: Path) -> Settings:
    """Return the settings with the whole path of the draft model. `model`: as the user has it, since the one that vLLM
    reads may lie elsewhere. Raises ModelError."""
    named = settings.draft_model.strip()
    return replace(settings, draft_model=str(find_draft_model(named, model))) if named else settings


def _drafts(path: Path, settings: Settings, config: Mapping[str, object]) -> dict[str, object]:
    """Return vLLM's configuration of drafts (vllm/config/speculative.py), {} for none. Raises PaddockError."""
    check_one_model(settings)
    named = settings.draft_model.strip()
    if settings.ngram_draft and (named or settings.mtp_draft):
        other = (
            "switch off Draft from the model's own heads (mtp_draft)"
            if not named
            else "empty Draft model (draft_model)"
        )
        raise SettingError(f"vLLM drafts from one source. Switch off Draft from the text (ngram_draft), or {other}.")
    if settings.mtp_draft:
        heads = _heads(config)
        if not heads:
            raise no_heads(path.name)
        return {"method": "mtp", "num_speculative_tokens": settings.draft_tokens or heads}
    count = {"num_speculative_tokens": settings.draft_tokens or _DRAFT_TOKENS}
    if named:
        folder = find_draft_model(named, path)
        _check_draft(path, config, folder)
        return {"model": str(folder), **count}
    if settings.ngram_draft:
        return {"method": "ngram", "prompt_lookup_min": _LEAST_MATCH, "prompt_lookup_max": _MOST_MATCH, **count}
    return {}


def _check_draft(path: Path, config: Mapping[str, object], draft: Path) -> None:
    """Raise ModelError unless the draft model has the model's tokens, and embeddings of the same size, which vLLM needs
    too."""
    own, other = (_number(_text_config(one), "vocab_size") for one in (config, check_folder(draft)))
    if own and other and own != other:
        raise other_vocabulary(draft.name, path.name, (other, own))
    check_same_tokens(path, draft)


def _heads(config: Mapping[str, object]) -> int:
    """Return how many heads that predict several tokens the model has, by the names that families have for it."""
    names = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
    parts = [config, *(part for key in ("text_config", "mtp_config") if isinstance(part := config.get(key), dict))]
    return max(_number(part, name) for part in parts for name in names)


def cache_bytes_per_token(config: Mapping[str, object]) -> int:
    """Return the bytes that one token takes in the cache: keys and values of every layer, at most 4 bytes each."""
    found = _text_config(config)
    heads = _number(found, "num_attention_heads") or 1
    kv_heads = _number(found, "num_key_value_heads") or heads
    head = _number(found, "head_dim") or (_number(found, "hidden_size") or 4096) // heads
    size = 4 if "32" in str(found.get("dtype") or found.get("torch_dtype") or "") else 2
    return 2 * (_number(found, "num_hidden_layers") or 32) * kv_heads * head * size


def _draft_bytes_per_token(path: Path, settings: Settings) -> int:
    """Return what `cache_bytes_per_token` does for the draft model, which shares the cache; 0 without one."""
    named = settings.draft_model.strip()
    return cache_bytes_per_token(check_folder(find_draft_model(named, path))) if named else 0


def make_importable(arguments: Mapping[str, object]) -> None:
    """Put the module of `worker_cls` on the import path, which processes that vLLM spawns get too.

    Its folder has no other module of Paddock."""
    if arguments.get("worker_cls") == _CPU_WORKER and str(_SPAWNED) not in sys.path:
        sys.path.append(str(_SPAWNED))


def make_engine(arguments: dict[str, object]) -> Any:
    """Return vLLM's engine with these arguments."""
    return importlib.import_module("vllm.v1.engine.llm_engine").LLMEngine.from_engine_args(_engine_args(arguments))


def engine_config(arguments: dict[str, object]) -> Any:
    """Return the configuration of a part of a model whose engine runs on another machine."""
    return _engine_args(arguments).create_engine_config(headless=True)


def _engine_args(arguments: dict[str, object]) -> Any:
    kinds = importlib.import_module("vllm.engine.arg_utils")
    make_importable(arguments)
    outputs = importlib.import_module("vllm.config").StructuredOutputsConfig
    # A weak model would fill the free whitespace of a JSON schema for ever.
    grammars = outputs(backend="xgrammar", disable_any_whitespace=True)
    return kinds.EngineArgs(structured_outputs_config=grammars, **arguments)


def _text_config(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the part of config.json that describes the text model."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _number(config: Mapping[str, object], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else 0
