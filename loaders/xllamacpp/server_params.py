"""Convert the loader's settings to llama.cpp's parameters."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from loaders.xllamacpp.devices import set_devices
from loaders.xllamacpp.drafts import set_drafts
from loaders.xllamacpp.more_parameters import set_more_parameters
from loaders.xllamacpp.spec import Settings, step_tokens
from modules.worker.llama.model_notes import tensor_overrides
from modules.worker.thread_count import single_thread_is_fastest

if TYPE_CHECKING:
    from xllamacpp import CommonParams

# Warnings would add two lines per request without need.
_LOG_ERRORS = 1
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def server_parameters(
    xllamacpp: ModuleType, path: Path, settings: Settings, context: int, key: str, pooling: str, projector: str = ""
) -> CommonParams:
    """Return `CommonParams` of the module `xllamacpp` for the model at `path`.

    `context` is in tokens, of all slots together. `key` is the API key of loopback requests. `pooling`: "" if the model
    says how its embeddings are pooled, else "MEAN" or "RANK". `projector`: path of a file for images.
    """
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.verbosity = _LOG_ERRORS
    _listen_on_loopback(params, key)
    _context(xllamacpp, params, settings, context)
    _processor(xllamacpp, params, settings, context, path.stat().st_size)
    _devices(xllamacpp, params, settings)
    _rope(xllamacpp, params, settings)
    if projector:
        params.mmproj.path = projector
        if settings.image_tokens:
            params.image_max_tokens = settings.image_tokens
    set_drafts(xllamacpp, params, settings, path)
    set_more_parameters(params, settings.more_parameters)
    params.embedding = True
    if pooling:
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling}")
    return params


def _listen_on_loopback(params: CommonParams, key: str) -> None:
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.cors_origins = ""
    params.n_threads_http = 2
    params.ui = False
    params.endpoint_slots = False
    # The worker renders chats, in a sandbox and with a time limit. Without this template the server would run the
    # file's own template while it loads, and refuse the model if it cannot read it.
    params.use_jinja = False
    params.chat_template = _TEMPLATE


def _context(xllamacpp: ModuleType, params: CommonParams, settings: Settings, context: int) -> None:
    params.n_ctx = context
    params.n_parallel = settings.slots
    params.kv_unified = settings.own_caches != "on"
    params.ctx_shift = False
    params.n_cache_reuse = settings.cache_reuse
    params.cache_ram_mib = settings.prompt_cache_mb
    params.cache_type_k = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{settings.cache_type_k.upper()}")
    params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{settings.cache_type_v.upper()}")
    flash = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[settings.flash_attention]
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    # Otherwise the server would silently lower the context or the GPU layers.
    params.fit_params = False


def _processor(xllamacpp: ModuleType, params: CommonParams, settings: Settings, context: int, weights: int) -> None:
    one = 1 if single_thread_is_fastest(weights) else 0
    if threads := settings.threads or one:
        params.cpuparams.n_threads = threads
    if threads := settings.threads_batch or one:
        params.cpuparams_batch.n_threads = threads
    # Texts to embed must fit into one micro-batch. The server takes it for the batch too.
    params.n_ubatch = step_tokens(settings, context)
    params.n_batch = max(settings.batch, params.n_ubatch)
    numa = {"off": "DISABLED"}.get(settings.numa, settings.numa.upper())
    params.numa = getattr(xllamacpp.ggml_numa_strategy, f"GGML_NUMA_STRATEGY_{numa}")


def _devices(xllamacpp: ModuleType, params: CommonParams, settings: Settings) -> None:
    params.n_gpu_layers = settings.gpu_layers
    set_devices(xllamacpp, params, settings)
    params.no_kv_offload = not settings.offload_kv
    if overrides := tensor_overrides(settings):
        params.tensor_buft_overrides = ",".join(f"{pattern}={device}" for pattern, device in overrides)
    mode = {(True, True): "MMAP_MLOCK", (True, False): "MMAP", (False, True): "MLOCK", (False, False): "NONE"}
    params.load_mode = getattr(xllamacpp.llama_load_mode, f"LLAMA_LOAD_MODE_{mode[settings.mmap, settings.mlock]}")


def _rope(xllamacpp: ModuleType, params: CommonParams, settings: Settings) -> None:
    kind = {"model": "UNSPECIFIED"}.get(settings.rope_scaling, settings.rope_scaling.upper())
    params.rope_scaling_type = getattr(xllamacpp.llama_rope_scaling_type, f"LLAMA_ROPE_SCALING_TYPE_{kind}")
    params.rope_freq_base = settings.rope_freq_base
    params.rope_freq_scale = settings.rope_freq_scale
    params.yarn_orig_ctx = settings.yarn_original_context
