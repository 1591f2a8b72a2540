"""Logits for every token of a text from llama.cpp, through its C functions.

Reference: tools/perplexity/perplexity.cpp of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from modules.protocol.errors import ModelError, OutOfMemory, PaddockError
from modules.protocol.events import ScoreResult
from modules.worker.thread_count import physical_core_count, single_thread_is_fastest

# Tokens whose logits are kept at once: 128 rows of a vocabulary of 150,000 take 77 MB.
_PIECE = 128


class Scorer:
    """One model with a context that starts empty for each text.

    `lib`: llama.cpp's functions, from llama_abi or from llama-cpp-python. `model`: a model that is loaded already; the
    file at `path` is loaded otherwise (mapped, so its weights are shared with another instance in this process).
    `on_node`: called as llama.cpp's cb_eval while it computes. `vocabulary`: llama.cpp's pointer to it.
    """

    def __init__(
        self, lib: ModuleType | ctypes.CDLL, path: Path, model: Any = None, on_node: Callable[..., bool] | None = None
    ) -> None:
        self._lib = lib
        self._on_node = on_node
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
        self.vocabulary = lib.llama_model_get_vocab(model)
        self._vocabulary = int(lib.llama_vocab_n_tokens(self.vocabulary))
        self._context: Any = None
        self._size = 0

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        """Write the logits that predict `tokens[first:]` to `file`, as commands.Score says."""
        begin = time.perf_counter()
        with file.open("wb") as out:
            for rows in self._pieces(tokens, first):
                if rows:
                    size = rows * self._vocabulary
                    out.write(ctypes.string_at(self._lib.llama_get_logits(self._context), 4 * size))
        return {
            "rows": len(tokens) - first,
            "vocabulary": self._vocabulary,
            "seconds": time.perf_counter() - begin,
        }

    def read(self, tokens: list[int]) -> None:
        """Compute every layer for all of `tokens`, for what `on_node` sees."""
        for _ in self._pieces(tokens, 1):
            pass

    def _pieces(self, tokens: list[int], first: int) -> Iterator[int]:
        """Compute the tokens in pieces. Yield after each how many rows of logits it has."""
        lib = self._lib
        self._make_context(len(tokens))
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        last = len(tokens) - 1  # nothing is predicted from the last token
        batch = lib.llama_batch_init(_PIECE, 0, 1)
        try:
            for start in range(0, last, _PIECE):
                rows = self._fill(batch, tokens, start, min(start + _PIECE, last), first)
                self._decode(batch)
                yield rows
        finally:
            lib.llama_batch_free(batch)

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

    def _decode(self, batch: object) -> None:
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
        if self._on_node is not None:
            # Kept for as long as llama.cpp may call it.
            self._callback = dict(params._fields_)["cb_eval"](self._on_node)
            params.cb_eval = self._callback
        self._context = lib.llama_init_from_model(self._model, params)
        self._size = size
        if not self._context:
            self._size = 0
            raise OutOfMemory("There is not enough memory for this window. Lower window, and evaluate again.")
