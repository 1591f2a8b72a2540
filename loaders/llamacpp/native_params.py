"""Convert the loader's settings to llama.cpp's structures."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

from loaders.llamacpp.spec import Settings
from modules.protocol.errors import SettingError
from modules.worker.llama.devices import chosen_devices
from modules.worker.llama.model_notes import tensor_overrides, tensor_split_shares
from modules.worker.thread_count import physical_core_count, processor_count, single_thread_is_fastest

# Graphics cards and integrated graphics (ggml_backend_dev_type of ggml-backend.h).
_CARDS = (1, 2)


def model_parameters(lib: ModuleType, settings: Settings, progress: Callable[[float], None]) -> Any:
    """Return a `llama_model_params`. `progress` is called with a fraction. Keep the result alive during the load."""
    params = lib.llama_model_default_params()
    params.n_gpu_layers = settings.gpu_layers
    params.split_mode = getattr(lib, f"LLAMA_SPLIT_MODE_{settings.split_mode.upper()}")
    params.main_gpu = settings.main_gpu
    mode = {(True, True): "MMAP_MLOCK", (True, False): "MMAP", (False, True): "MLOCK", (False, False): "NONE"}
    params.load_mode = getattr(lib, f"LLAMA_LOAD_MODE_{mode[settings.mmap, settings.mlock]}")
    # GCC drops most of the tile configuration that llama.cpp loads for AMX, so reading a prompt would crash in builds
    # with that code. Without these buffers it is not used.
    if b"AMX_INT8 = 1" in lib.llama_print_system_info():
        params.use_extra_bufts = False
    split, most = tensor_split_shares(settings), int(lib.llama_max_devices())
    if len(split) > most:
        raise SettingError(f"Tensor split (tensor_split) names {len(split)} cards; at most {most} are possible.")
    if split:
        params.tensor_split = (ctypes.c_float * most)(*split)

    _choose_devices(lib, params, settings)
    _override_tensors(lib, params, settings)

    def report(fraction: float, user_data: object) -> bool:
        progress(fraction)
        return True

    params.progress_callback = lib.llama_progress_callback(report)
    return params


def _choose_devices(lib: ModuleType, params: Any, settings: Settings) -> None:
    """Use the devices of the setting alone. `params` keeps the list alive."""
    ggml = lib._lib
    ggml.ggml_backend_dev_get.restype, ggml.ggml_backend_dev_get.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    ggml.ggml_backend_dev_name.restype, ggml.ggml_backend_dev_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    ggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    found = [ggml.ggml_backend_dev_get(number) for number in range(ggml.ggml_backend_dev_count())]
    handles = {
        ggml.ggml_backend_dev_name(device).decode(): device
        for device in found
        if ggml.ggml_backend_dev_type(device) in _CARDS
    }
    if named := chosen_devices(settings, list(handles)):
        if settings.split_mode == "row":
            # Rows are split by the numbers of all cards, so the others get a share of 0.
            shares = dict(zip(named, tensor_split_shares(settings) or [1.0] * len(named), strict=False))
            of_each = [shares.get(name, 0.0) for name in handles]
            params.tensor_split = (ctypes.c_float * int(lib.llama_max_devices()))(*of_each)
            return
        # A null pointer ends the list.
        params.chosen = (ctypes.c_void_p * (len(named) + 1))(*(handles[name] for name in named))
        params.devices = ctypes.cast(params.chosen, ctypes.c_void_p)


class _Override(ctypes.Structure):
    """llama_model_tensor_buft_override of llama.h."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer", ctypes.c_void_p))


def _override_tensors(lib: ModuleType, params: Any, settings: Settings) -> None:
    """Place the tensors of the setting in main memory. `params` keeps the list alive."""
    overrides = tensor_overrides(settings)
    if not overrides:
        return
    if others := sorted({device for _, device in overrides} - {"CPU"}):
        raise SettingError(
            f"Tensor overrides (override_tensor) name {', '.join(others)}, and this loader knows CPU alone. Choose the "
            "loader xllamacpp for others."
        )
    main_memory = lib._lib.ggml_backend_cpu_buffer_type
    main_memory.restype = ctypes.c_void_p
    entries = [_Override(pattern.encode(), main_memory()) for pattern, _ in overrides]
    # An entry without a pattern ends the list.
    params.overrides = (_Override * (len(entries) + 1))(*entries)
    params.tensor_buft_overrides = ctypes.cast(params.overrides, ctypes.c_void_p)


def context_parameters(lib: ModuleType, settings: Settings, context: int, weights: int, pools: bool) -> Any:
    """Return a `llama_context_params` for `context` tokens and a model of `weights` bytes.

    `pools` is True if the model says how its embeddings are pooled.
    """
    params = lib.llama_context_default_params()
    params.n_ctx = context
    params.n_batch = settings.batch
    params.n_ubatch = min(settings.micro_batch, settings.batch)
    params.n_seq_max = 1
    one = single_thread_is_fastest(weights)
    params.n_threads = settings.threads or (1 if one else physical_core_count())
    params.n_threads_batch = settings.threads_batch or (1 if one else processor_count())
    if not pools:
        params.pooling_type = lib.LLAMA_POOLING_TYPE_MEAN
    flash = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[settings.flash_attention]
    params.flash_attn_type = getattr(lib, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    params.type_k = cache_type(lib, settings.cache_type_k)
    params.type_v = cache_type(lib, settings.cache_type_v)
    params.offload_kqv = settings.offload_kv
    params.no_perf = True
    kind = {"model": "UNSPECIFIED"}.get(settings.rope_scaling, settings.rope_scaling.upper())
    params.rope_scaling_type = getattr(lib, f"LLAMA_ROPE_SCALING_TYPE_{kind}")
    params.rope_freq_base = settings.rope_freq_base
    params.rope_freq_scale = settings.rope_freq_scale
    params.yarn_orig_ctx = settings.yarn_original_context
    return params


def cache_type(lib: object, name: str) -> int:
    """Return ggml's number of a type. llama-cpp-python has no name for bf16 (30 in ggml.h)."""
    return 30 if name == "bf16" else int(getattr(lib, f"GGML_TYPE_{name.upper()}"))


def numa_strategy(lib: object, name: str) -> int:
    """Return ggml's number of a NUMA strategy."""
    return int(getattr(lib, f"GGML_NUMA_STRATEGY_{'DISABLED' if name == 'off' else name.upper()}"))
