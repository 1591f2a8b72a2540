"""Reads the facts of a GGUF file that are needed before a load, or that the engine does not report after it.

The host has checked the file already (modules/library/gguf.py); a remaining fault is a ModelError here, before
the engine, which would abort, reads the file. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from modules.families.draft_vocabulary import MOST_DIFFERENT, DraftVocabulary, gguf_digests, gguf_kind, unused_at_end
from modules.protocol.errors import ModelError

T = TypeVar("T")

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY, _INT32 = 8, 9, 5
# Kinds of tokens (ggml-org/llama.cpp, llama_token_type).
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_NAMED = (_CONTROL, _UNKNOWN, _USER_DEFINED)
_SAMPLED = 64
_LONGEST_TEXT = 4 << 20
# A tensor that heads for several tokens have, and at most so many bytes for a tensor's name, shape, type and place.
_HEAD_TENSOR, _LONGEST_TENSOR_INFO = b".nextn.eh_proj.weight", 128


@dataclass(frozen=True)
class GgufKeys:
    """`values`: metadata without its arrays. `control`: names of the control tokens, such as "<|im_end|>"; `unknown`:
    names of the unknown tokens; `user_defined`: names of other tokens that a text is split at. `sample`: names of some
    ordinary tokens, by id; `byte_tokens`: True if each byte has a token; `vocabulary`: number of tokens; `has_heads`:
    True if the file has heads that predict several tokens."""

    values: dict[str, Any] = field(default_factory=dict)
    control: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    user_defined: tuple[str, ...] = ()
    sample: dict[int, str] = field(default_factory=dict)
    byte_tokens: bool = False
    vocabulary: int = 0
    has_heads: bool = False

    @property
    def architecture(self) -> str:
        """The architecture, such as "llama", or ""."""
        return str(self.values.get("general.architecture", ""))

    @property
    def pools(self) -> bool:
        """True if the file has a pooling type for embeddings."""
        return bool(self.values.get(f"{self.architecture}.pooling_type"))

    @property
    def trained_context(self) -> int:
        """The trained context length in tokens, or 0."""
        value = self.values.get(f"{self.architecture}.context_length", 0)
        return value if isinstance(value, int) else 0


def read_keys(path: Path) -> GgufKeys:
    """Return the metadata of the GGUF file at `path`. Raises ModelError."""
    return _read(path, _Cursor.keys)


def read_vocabulary(path: Path) -> DraftVocabulary:
    """Return the vocabulary of the GGUF file at `path`. Raises ModelError."""
    return _read(path, _Cursor.vocabulary)


def _read(path: Path, part: Callable[[_Cursor], T]) -> T:
    if not path.is_file():
        raise ModelError(f"There is no file {path.name} in its folder. Refresh the list of models and choose again.")
    if path.stat().st_size < 24:
        raise ModelError(f"{path.name} is too short to be a GGUF file. Download it again.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise ModelError(f"{path.name} is not a GGUF file: it does not begin with GGUF. Download it again.")
        try:
            return part(_Cursor(data))
        except (struct.error, ValueError, KeyError, OverflowError) as error:
            message = f"{path.name} is cut short or corrupt: its metadata cannot be read. Download it again."
            raise ModelError(message, detail=repr(error)) from None


class _Cursor:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4
        self._tokens = (0, 0)
        self._types: tuple[int, ...] = ()

    def keys(self) -> GgufKeys:
        """Return the metadata before the tensors."""
        version, tensors, count = self._number("<I"), self._number("<Q"), self._number("<Q")
        if not 2 <= version <= 3:
            raise ValueError(f"version {version}")
        values: dict[str, Any] = {}
        tokens = kinds = (0, 0)
        for _ in range(count):
            key = self._text()
            kind = self._number("<I")
            if kind == _ARRAY:
                length, start = self._skip_array(key == "tokenizer.ggml.token_type")
                if key == "tokenizer.ggml.tokens":
                    tokens = (length, start)
                elif key == "tokenizer.ggml.token_type":
                    kinds = (length, start)
            else:
                values[key] = self._text() if kind == _STRING else self._number(_SCALARS[kind])
        heads = self._has_heads(values, tensors)
        types = struct.unpack_from(f"<{kinds[0]}i", self._data, kinds[1])[: tokens[0]]
        self._tokens, self._types = tokens, types[-MOST_DIFFERENT:]
        names, sample = self._names(tokens[1], types)
        control, unknown, user_defined = (tuple(names[kind]) for kind in _NAMED)
        byte_tokens = types.count(_BYTE) >= 256
        return GgufKeys(values, control, unknown, user_defined, sample, byte_tokens, tokens[0], heads)

    def vocabulary(self) -> DraftVocabulary:
        """Return what is compared of the vocabulary."""
        keys = self.keys()
        count, self._at = self._tokens
        digests = gguf_digests((self._bytes() for _ in range(count)), count)
        return DraftVocabulary(count, gguf_kind(keys.values, count), digests, unused_at_end(self._types))

    def _has_heads(self, values: dict[str, Any], tensors: int) -> bool:
        """Return GgufKeys.has_heads. Files are also made without the tensors that the metadata speaks of.

        Those of a file in parts may be in another part.
        """
        if not values.get(f"{values.get('general.architecture')}.nextn_predict_layers"):
            return False
        listed = self._data.find(_HEAD_TENSOR, self._at, self._at + tensors * _LONGEST_TENSOR_INFO)
        return listed >= 0 or values.get("split.count", 1) > 1

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _text(self) -> str:
        return self._bytes().decode("utf-8", "replace")

    def _bytes(self) -> bytes:
        length = self._number("<Q")
        if length > _LONGEST_TEXT:
            raise ValueError(f"a text of {length} bytes")
        self._at += length
        return self._data[self._at - length : self._at]

    def _skip_array(self, must_be_int: bool) -> tuple[int, int]:
        """Skip an array. Return its length and the position of its first element."""
        kind, length = self._number("<I"), self._number("<Q")
        if must_be_int and kind != _INT32:
            raise ValueError(f"token types of kind {kind}")
        start = self._at
        if kind == _STRING:
            for _ in range(length):
                (size,) = struct.unpack_from("<Q", self._data, self._at)
                self._at += 8 + size
        else:
            self._at += length * struct.calcsize(_SCALARS[kind])
        if self._at > len(self._data):
            raise ValueError("an array that ends behind the file")
        return length, start

    def _names(self, start: int, types: tuple[int, ...]) -> tuple[dict[int, list[str]], dict[int, str]]:
        """Return the names of special kinds of tokens, by kind, and of some ordinary tokens, by id."""
        named: dict[int, list[str]] = {kind: [] for kind in _NAMED}
        sample: dict[int, str] = {}
        step = len(types) // _SAMPLED + 1
        self._at = start
        for index, kind in enumerate(types):
            if kind in named:
                named[kind].append(self._text())
            elif kind == _NORMAL and index % step == 0:
                sample[index] = self._text()
            else:
                (size,) = struct.unpack_from("<Q", self._data, self._at)
                self._at += 8 + size
        return named, sample
