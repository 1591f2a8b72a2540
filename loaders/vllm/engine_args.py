"""Convert the loader's settings to vLLM's engine arguments (vllm/engine/arg_utils.py, version 0.32.0)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loaders.vllm.spec import Settings
from modules.protocol.errors import SettingError
from modules.protocol.schema import describe

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
) -> dict[str, Any]:
    """Return keyword arguments of EngineArgs. `cpu` is True for vLLM's build for CPUs."""
    arguments: dict[str, Any] = {
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
        arguments["kv_cache_memory_bytes"] = max(
            _LEAST_CACHE, _CONTEXTS_ON_CPU * context * cache_bytes_per_token(config)
        )
    return arguments


def cache_bytes_per_token(config: Mapping[str, object]) -> int:
    """Return the bytes that one token takes in the cache: keys and values of every layer, at most 4 bytes each."""
    text = config.get("text_config")
    found = text if isinstance(text, dict) else config
    heads = _number(found, "num_attention_heads") or 1
    kv_heads = _number(found, "num_key_value_heads") or heads
    head = _number(found, "head_dim") or (_number(found, "hidden_size") or 4096) // heads
    size = 4 if "32" in str(found.get("dtype") or found.get("torch_dtype") or "") else 2
    return 2 * (_number(found, "num_hidden_layers") or 32) * kv_heads * head * size


def _number(config: Mapping[str, object], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else 0
