"""One model and one context of llama.cpp, through llama-cpp-python's low-level functions."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable
from typing import Any

from modules.families.llama_cpp import LOWER_FOR_MEMORY
from modules.protocol.errors import OutOfMemory, PaddockError
from modules.worker.unused_tokens import is_unused_token

_PIECE_BYTES = 256
_ABORTED = 2


class NativeModel:
    """A loaded model with its context. `cached`: the tokens whose keys and values the context holds, in order.

    The tokenizer's functions only read, so any thread may call them; the rest belongs to one thread.
    """

    def __init__(self, lib: Any, model: Any, context: Any) -> None:
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

    def use_context(self, context: Any) -> None:
        """Another context in place of this one, which has been freed; nothing is cached in it."""
        self.context = context
        self.memory = self.lib.llama_get_memory(context)
        self.cached.clear()

    def tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`."""
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
        """The text of `tokens`, special ones included."""
        array = (self.lib.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 64
        buffer = ctypes.create_string_buffer(room)
        size = self.lib.llama_detokenize(self.vocab, array, len(tokens), buffer, room, False, True)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self.lib.llama_detokenize(self.vocab, array, len(tokens), buffer, -size, False, True)
        return bytes(buffer.raw[:size]).decode("utf-8", "replace")

    def piece(self, token: int, special: bool) -> bytes:
        """The bytes of one token; of a special one only with `special`."""
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
        """Have `printed` show the special tokens `visible`; `template`: the chat template that may use more."""
        self._template, self._visible = template, visible

    def printed(self, token: int, special: bool) -> bytes:
        """What a reply shows of a token: `piece`, but markers of reasoning always, and padding never."""
        known = self._printed.get((token, special))
        if known is None:
            name = self.lib.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace")
            hidden = is_unused_token(name, self._template) or token == self._padding()
            known = b"" if hidden else self.piece(token, special or token in self._visible)
            self._printed[token, special] = known
        return known

    def _padding(self) -> int:
        """The padding token, unless it means something else too; -1 where there is none."""
        pad, lib = int(self.lib.llama_vocab_pad(self.vocab)), self.lib
        others = {int(kind(self.vocab)) for kind in (lib.llama_vocab_bos, lib.llama_vocab_eos)}
        return -1 if pad in others or pad in self._visible else pad

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """Those of the special tokens `names` that are one token each, with their ids."""
        found = {name: self.tokenize(name, False, True) for name in names}
        return {name: tokens[0] for name, tokens in found.items() if len(tokens) == 1}

    def ends(self) -> frozenset[int]:
        """Ids of the tokens that end a text, as llama.cpp knows them."""
        count = self.lib.llama_vocab_n_tokens(self.vocab)
        return frozenset(token for token in range(count) if self.lib.llama_vocab_is_eog(self.vocab, token))

    def keep_prefix(self, tokens: list[int]) -> int:
        """Drop from the cache what does not begin `tokens`; returns how many of them are left in it. At least the last
        one is read again, since its logits are wanted."""
        common = min(len(os.path.commonprefix([self.cached, tokens])), len(tokens) - 1)
        if common < len(self.cached) and not self.lib.llama_memory_seq_rm(self.memory, 0, common, -1):
            # A recurrent model cannot forget its latest tokens alone.
            common = 0
            self.lib.llama_memory_clear(self.memory, True)
        del self.cached[common:]
        return common

    def read(self, tokens: list[int], batch: int, cancelled: threading.Event) -> bool:
        """Read prompt tokens behind what is cached, `batch` at a time; False if `cancelled` came before the end."""
        # Asked between two operations of the graph, so Stop is heard even in a large batch.
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
        """Read one generated token, so that the next can be chosen."""
        self._one[0] = token
        self._decode(self._step)
        self.cached.append(token)

    def _decode(self, batch: Any) -> bool:
        """False if it was aborted. Raises OutOfMemory, PaddockError."""
        status = self.lib.llama_decode(self.context, batch)
        if status == 0:
            return True
        if status == _ABORTED:
            return False
        self._forget_unfinished()
        if status == 1:
            raise OutOfMemory("The context is full. Raise Context length, or begin a new chat.", lower=())
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
        """Bring the cache back to what `cached` says, after a batch that did not end."""
        if not self.lib.llama_memory_seq_rm(self.memory, 0, len(self.cached), -1):
            self.lib.llama_memory_clear(self.memory, True)
            self.cached.clear()

    def clear(self) -> None:
        """Forget everything that was read."""
        self.lib.llama_memory_clear(self.memory, True)
        self.cached.clear()
