"""Vectors from one context of llama.cpp."""

from __future__ import annotations

import threading

from loaders.llamacpp.native import NativeModel
from modules.worker.embeddings import too_long_error, unknown_token_error


def native_embeddings(native: NativeModel, inputs: list[list[int]], remedy: str) -> list[list[float]]:
    """Return a vector for each list of token ids, and clear the cache. `remedy`: what to do about a longer input than
    one micro-batch. Raises PromptError."""
    lib = native.lib
    width, most = int(lib.llama_model_n_embd(native.model)), int(lib.llama_n_ubatch(native.context))
    lib.llama_set_embeddings(native.context, True)
    try:
        vectors = []
        for tokens in inputs:
            if len(tokens) > most:
                raise too_long_error(len(tokens), most, remedy)
            if max(tokens) >= lib.llama_vocab_n_tokens(native.vocab):
                raise unknown_token_error()
            native.clear()
            native.read(tokens, most, threading.Event())
            vectors.append(lib.llama_get_embeddings_seq(native.context, 0)[:width])
        return vectors
    finally:
        lib.llama_set_embeddings(native.context, False)
        native.clear()
