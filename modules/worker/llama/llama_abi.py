"""The few C functions of llama.cpp that scoring needs, for a library that brings no Python declarations.

Structures: include/llama.h of https://github.com/ggml-org/llama.cpp, build 11549, as the pinned xllamacpp has it. Their
ends differ between builds, so only the fields up to the last one used are named, and room for more follows: such a
structure is passed and returned in memory, where the other side looks at its own length alone. The defaults that the
library returns are checked against what they must be, so another layout of the named fields is noticed.
"""

from __future__ import annotations

import ctypes

from modules.protocol.errors import Unsupported

_ROOM = 256
# (node of the graph, whether it is wanted at all, user data) -> wanted, or go on.
eval_callback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)


class llama_model_params(ctypes.Structure):  # noqa: N801 (llama.h's own name)
    """How a model is loaded."""

    _fields_ = (
        ("devices", ctypes.c_void_p),
        ("tensor_buft_overrides", ctypes.c_void_p),
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int),
        ("load_mode", ctypes.c_int),
        ("lazy_mode", ctypes.c_int),
        ("main_gpu", ctypes.c_int32),
        ("tensor_split", ctypes.c_void_p),
        ("progress_callback", ctypes.c_void_p),
        ("progress_callback_user_data", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("vocab_only", ctypes.c_bool),
        ("check_tensors", ctypes.c_bool),
        ("use_extra_bufts", ctypes.c_bool),
        ("rest", ctypes.c_uint8 * _ROOM),
    )


class llama_context_params(ctypes.Structure):  # noqa: N801
    """How a context is made."""

    _fields_ = (
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("n_rs_seq", ctypes.c_uint32),
        ("n_outputs_max", ctypes.c_uint32),
        ("n_outputs_max_per_seq", ctypes.c_uint32),
        ("n_threads", ctypes.c_int32),
        ("n_threads_batch", ctypes.c_int32),
        ("ctx_type", ctypes.c_int),
        ("rope_scaling_type", ctypes.c_int),
        ("pooling_type", ctypes.c_int),
        ("attention_type", ctypes.c_int),
        ("flash_attn_type", ctypes.c_int),
        ("rope_freq_base", ctypes.c_float),
        ("rope_freq_scale", ctypes.c_float),
        ("yarn_ext_factor", ctypes.c_float),
        ("yarn_attn_factor", ctypes.c_float),
        ("yarn_beta_fast", ctypes.c_float),
        ("yarn_beta_slow", ctypes.c_float),
        ("yarn_orig_ctx", ctypes.c_uint32),
        ("defrag_thold", ctypes.c_float),
        ("cb_eval", eval_callback),
        ("cb_eval_user_data", ctypes.c_void_p),
        ("type_k", ctypes.c_int),
        ("type_v", ctypes.c_int),
        ("rest", ctypes.c_uint8 * _ROOM),
    )


class llama_batch(ctypes.Structure):  # noqa: N801
    """Tokens to compute."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


def load_library(path: str) -> ctypes.CDLL:
    """Return the library at `path` with the declared functions. Raises Unsupported for another build's layout."""
    lib = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    for name, result, arguments in (
        ("llama_model_default_params", llama_model_params, ()),
        ("llama_context_default_params", llama_context_params, ()),
        ("llama_model_load_from_file", pointer, (ctypes.c_char_p, llama_model_params)),
        ("llama_init_from_model", pointer, (pointer, llama_context_params)),
        ("llama_model_get_vocab", pointer, (pointer,)),
        ("llama_vocab_n_tokens", number, (pointer,)),
        ("llama_vocab_bos", number, (pointer,)),
        ("llama_vocab_eos", number, (pointer,)),
        ("llama_vocab_get_text", ctypes.c_char_p, (pointer, number)),
        (
            "llama_tokenize",
            number,
            (pointer, ctypes.c_char_p, number, ctypes.POINTER(number), number, ctypes.c_bool, ctypes.c_bool),
        ),
        ("llama_get_memory", pointer, (pointer,)),
        ("llama_memory_clear", None, (pointer, ctypes.c_bool)),
        ("llama_batch_init", llama_batch, (number, number, number)),
        ("llama_batch_free", None, (llama_batch,)),
        ("llama_decode", number, (pointer, llama_batch)),
        ("llama_get_logits", ctypes.POINTER(ctypes.c_float), (pointer,)),
        ("llama_free", None, (pointer,)),
        ("llama_model_free", None, (pointer,)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    model, context = lib.llama_model_default_params(), lib.llama_context_default_params()
    known = (
        model.n_gpu_layers == -1
        and model.use_extra_bufts
        and not model.vocab_only
        and (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max) == (512, 2048, 512, 1)
        and (context.type_k, context.type_v) == (1, 1)
        and (context.yarn_ext_factor, context.defrag_thold) == (-1.0, -1.0)
    )
    if not known:
        raise Unsupported(
            "This build of llama.cpp has other structures than Paddock knows, so its logits cannot be read. Rebuild "
            "the loader's environment, or choose another loader."
        )
    return lib
