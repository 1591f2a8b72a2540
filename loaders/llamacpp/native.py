"""One model and one context of llama.cpp, with llama-cpp-python's low-level functions."""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from modules.families.llama_cpp import LOWER_FOR_MEMORY
from modules.protocol.errors import OutOfMemory, PaddockError
from modules.worker.unused_tokens import is_unused_token

_PIECE_BYTES = 256
_ABORTED = 2


class NativeModel:
    """A loaded model with its context. `cached`: the tokens whose keys and values are in the context, in order.

    Any thread may call the tokenizer's functions, which only read. Only one thread may call the others.
    """

    def __init__(self, lib: ModuleType, model: Any, context: Any) -> None:
        self.lib = lib
        self.model = model
        self.context = context
        self.vocab = lib.llama_model_get_vocab(model)
        self.memory = lib.llama_get_memory(context)
        self.size = int(lib.llama_n_ctx(context))
        self.cached: list[int] = []
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self._printed: dict[tuple[int, bool], bytes] = {}
        self._template = ""
        self._visible: frozenset[int] = frozenset()
        self._one = (lib.llama_token * 1)()
        self._step = lib.llama_batch_get_one(self._one, 1)

    def use_context(self, context: object) -> None:
        """Use another, empty context. The previous one has been freed."""
        self.context = context
        self.memory = self.lib.llama_get_memory(context)
        self.cached.clear()

    def tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        tokens = (self.lib.llama_token * room)()
        count = self.lib.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, parse_special)
        if count < 0:
            room = -count
            tokens = (self.lib.llama_token * room)()
            count = self.lib.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, parse_special)
        return list(tokens[:count])

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of `tokens`, including special tokens."""
        array = (self.lib.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 64
        buffer = ctypes.create_string_buffer(room)
        size = self.lib.llama_detokenize(self.vocab, array, len(tokens), buffer, room, False, True)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self.lib.llama_detokenize(self.vocab, array, len(tokens), buffer, -size, False, True)
        return bytes(buffer.raw[:size]).decode("utf-8", "replace")

    def piece(self, token: int, special: bool) -> bytes:
        """Return the bytes of one token; none for a special token unless `special`."""
        known = self._pieces.get((token, special))
        if known is None:
            buffer = ctypes.create_string_buffer(_PIECE_BYTES)
            size = self.lib.llama_token_to_piece(self.vocab, token, buffer, _PIECE_BYTES, 0, special)
            if size < 0:
                buffer = ctypes.create_string_buffer(-size)
                size = self.lib.llama_token_to_piece(self.vocab, token, buffer, -size, 0, special)
            known = self._pieces[token, special] = bytes(buffer.raw[:size])
        return known

    def show(self, template: str, visible: frozenset[int]) -> None:
        """Make `printed` show the special tokens `visible`. `template` is the chat template, which may use more."""
        self._template, self._visible = template, visible

    def printed(self, token: int, special: bool) -> bytes:
        """Return what a reply shows of a token: like `piece`, but always markers of reasoning and never padding."""
        known = self._printed.get((token, special))
        if known is None:
            name = self.lib.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace")
            hidden = is_unused_token(name, self._template) or token == self._padding()
            known = b"" if hidden else self.piece(token, special or token in self._visible)
            self._printed[token, special] = known
        return known

    def _padding(self) -> int:
        """Return the padding token, or -1 if there is none or it also has another meaning."""
        pad, lib = int(self.lib.llama_vocab_pad(self.vocab)), self.lib
        others = {int(kind(self.vocab)) for kind in (lib.llama_vocab_bos, lib.llama_vocab_eos)}
        return -1 if pad in others or pad in self._visible else pad

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """Return name -> id for those of the special tokens `names` that are a single token."""
        found = {name: self.tokenize(name, False, True) for name in names}
        return {name: tokens[0] for name, tokens in found.items() if len(tokens) == 1}

    def ends(self) -> frozenset[int]:
        """Return the ids of the tokens that llama.cpp knows as end of a text."""
        count = self.lib.llama_vocab_n_tokens(self.vocab)
        return frozenset(token for token in range(count) if self.lib.llama_vocab_is_eog(self.vocab, token))

    def keep_prefix(self, tokens: list[int]) -> int:
        """Crop the cache to the common prefix with `tokens`, and return its length.

        At least the last token is read again, for its logits.
        """
        common = min(len(os.path.commonprefix([self.cached, tokens])), len(tokens) - 1)
        if common < len(self.cached) and not self.lib.llama_memory_seq_rm(self.memory, 0, common, -1):
            # A recurrent model cannot drop only its latest tokens.
            common = 0
            self.lib.llama_memory_clear(self.memory, True)
        del self.cached[common:]
        return common

    def read(self, tokens: list[int], batch: int, cancelled: threading.Event) -> bool:
        """Read prompt tokens after the cached ones, `batch` at a time. Return False if cancelled before the end."""
        # Checked between two operations of the graph, so Stop works within a large batch.
        heard = self.lib.ggml_abort_callback(lambda data: cancelled.is_set())
        self.lib.llama_set_abort_callback(self.context, heard, None)
        try:
            for start in range(0, len(tokens), batch):
                part = tokens[start : start + batch]
                array = (self.lib.llama_token * len(part))(*part)
                if cancelled.is_set() or not self._decode(self.lib.llama_batch_get_one(array, len(part))):
                    self._forget_unfinished()
                    return False
                self.cached.extend(part)
        finally:
            self.lib.llama_set_abort_callback(self.context, self.lib.ggml_abort_callback(), None)
        return True

    def append(self, token: int) -> None:
        """Read one generated token, so that the next one can be chosen."""
        self._one[0] = token
        self._decode(self._step)
        self.cached.append(token)

    def read_rows(self, tokens: list[int]) -> range:
        """Read a generated token and guesses after it. Return the rows of their logits."""
        if len(tokens) == 1:
            self.append(tokens[0])
        else:
            array = (self.lib.llama_token * len(tokens))(*tokens)
            batch = self.lib.llama_batch_get_one(array, len(tokens))
            batch.logits = (ctypes.c_int8 * len(tokens))(*[1] * len(tokens))
            self._decode(batch)
            self.cached.extend(tokens)
        return range(len(tokens))

    @property
    def can_drop_latest(self) -> bool:
        """True if the latest tokens can be removed from the cache: the model has no recurrent state."""
        return not (self.lib.llama_model_is_recurrent(self.model) or self.lib.llama_model_is_hybrid(self.model))

    def can_drop(self, count: int) -> bool:
        """Return True if there is room for `count` tokens, which are removed again later."""
        return len(self.cached) + count <= self.size

    def drop(self, count: int) -> bool:
        """Remove the last `count` tokens from the cache. Return False if the model cannot."""
        left = len(self.cached) - count
        if count and not self.lib.llama_memory_seq_rm(self.memory, 0, left, -1):
            return False
        del self.cached[left:]
        return True

    def logits(self, row: int = -1) -> Any:
        """Return logits of the latest tokens read as a numpy view without a copy: [vocabulary], float32.

        `row`: of which of the tokens, if there are logits for each; -1 is the last.
        """
        latest = self.lib.llama_get_logits_ith(self.context, row)
        return importlib.import_module("numpy").ctypeslib.as_array(latest, (self.lib.llama_vocab_n_tokens(self.vocab),))

    def _decode(self, batch: object) -> bool:
        """Return False if it was aborted. Raises OutOfMemory, PaddockError."""
        status = self.lib.llama_decode(self.context, batch)
        if status == 0:
            return True
        if status == _ABORTED:
            return False
        self._forget_unfinished()
        if status == 1:
            raise OutOfMemory("The context is full. Raise Context length, or start a new chat.", lower=())
        raise (
            OutOfMemory(
                "llama.cpp could not compute the next tokens, most likely for want of memory. "
                "Lower Context length or Micro-batch, or choose cache type q8_0.",
                detail=f"llama_decode returned {status}",
                lower=LOWER_FOR_MEMORY,
            )
            if status < -1
            else PaddockError(
                "llama.cpp refused these tokens. Load the model again.", detail=f"llama_decode returned {status}"
            )
        )

    def _forget_unfinished(self) -> None:
        """Restore the cache to `cached` after an unfinished batch."""
        if not self.lib.llama_memory_seq_rm(self.memory, 0, len(self.cached), -1):
            self.lib.llama_memory_clear(self.memory, True)
            self.cached.clear()

    def clear(self) -> None:
        """Clear the cache."""
        self.lib.llama_memory_clear(self.memory, True)
        self.cached.clear()
