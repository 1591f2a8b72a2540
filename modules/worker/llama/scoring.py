"""Logits for every token of a text from llama.cpp, through its C functions.

Reference: tools/perplexity/perplexity.cpp of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError, OutOfMemory, PaddockError
from modules.worker.thread_count import physical_core_count, single_thread_is_fastest

# Tokens whose logits are kept at once: 128 rows of a vocabulary of 150,000 take 77 MB.
_PIECE = 128


class Scorer:
    """One model with a context that starts empty for each text.

    `lib`: llama.cpp's functions, from llama_abi or from llama-cpp-python. `model`: a model that is loaded already; the
    file at `path` is loaded otherwise (mapped, so its weights are shared with another instance in this process).
    """

    def __init__(self, lib: Any, path: Path, model: Any = None) -> None:
        self._lib = lib
        self._threads = 1 if single_thread_is_fastest(path.stat().st_size) else physical_core_count()
        self._own = model is None
        if model is None:
            params = lib.llama_model_default_params()
            params.n_gpu_layers = 0
            params.use_extra_bufts = False
            model = lib.llama_model_load_from_file(str(path).encode(), params)
            if not model:
                raise ModelError(f"llama.cpp could not load {path.name} a second time for scoring. Try again.")
        self._model = model
        self._vocabulary = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model)))
        self._context: Any = None
        self._size = 0

    def score(self, tokens: list[int], first: int, file: Path) -> dict[str, Any]:
        """Write the logits that predict `tokens[first:]` to `file`, as commands.Score says."""
        lib = self._lib
        self._make_context(len(tokens))
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        begin = time.perf_counter()
        last = len(tokens) - 1  # nothing is predicted from the last token
        batch = lib.llama_batch_init(_PIECE, 0, 1)
        try:
            with file.open("wb") as out:
                for start in range(0, last, _PIECE):
                    stop = min(start + _PIECE, last)
                    rows = self._fill(batch, tokens, start, stop, first)
                    self._decode(batch)
                    if rows:
                        size = rows * self._vocabulary
                        out.write(ctypes.string_at(lib.llama_get_logits(self._context), 4 * size))
        finally:
            lib.llama_batch_free(batch)
        return {
            "rows": len(tokens) - first,
            "vocabulary": self._vocabulary,
            "seconds": time.perf_counter() - begin,
        }

    def close(self) -> None:
        """Free the context, and the model where it was loaded here."""
        if self._context:
            self._lib.llama_free(self._context)
        if self._own:
            self._lib.llama_model_free(self._model)

    def _fill(self, batch: Any, tokens: list[int], start: int, stop: int, first: int) -> int:
        """Put tokens[start:stop] into the batch. Return how many rows of logits are asked for."""
        batch.n_tokens = stop - start
        rows = 0
        for place in range(start, stop):
            at = place - start
            batch.token[at], batch.pos[at] = tokens[place], place
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = 0
            wanted = place >= first - 1
            batch.logits[at] = wanted
            rows += wanted
        return rows

    def _decode(self, batch: Any) -> None:
        status = self._lib.llama_decode(self._context, batch)
        if status:
            raise PaddockError(
                "llama.cpp could not compute these tokens. Lower window, and evaluate again.",
                detail=f"llama_decode returned {status}",
            )

    def _make_context(self, size: int) -> None:
        if size <= self._size:
            return
        lib = self._lib
        if self._context:
            lib.llama_free(self._context)
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = size, _PIECE, _PIECE
        params.n_outputs_max = params.n_outputs_max_per_seq = _PIECE
        params.n_threads = params.n_threads_batch = self._threads
        # Keys and values in 32 bits, so that the model's weights alone make the difference.
        params.type_k = params.type_v = 0
        params.flash_attn_type = 0
        self._context = lib.llama_init_from_model(self._model, params)
        self._size = size
        if not self._context:
            self._size = 0
            raise OutOfMemory("There is not enough memory for this window. Lower window, and evaluate again.")
