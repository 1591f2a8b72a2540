"""Read the header of an untrusted GGUF file, version 2 or 3.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only the header is read, through a small window, so
neither a large vocabulary nor a hostile length costs memory. Tensor data is never touched.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from modules.families.draft_vocabulary import MOST_DIFFERENT, DraftVocabulary, gguf_digests, gguf_kind, unused_at_end
from modules.library.file_window import FileWindow
from modules.library.gguf_types import REMOVED_TYPES, TENSOR_TYPES
from modules.library.sizes import truncated_file_error
from modules.protocol.errors import ModelError

# Value type id -> struct format, of the types with a fixed size. 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_INT32, _STRING, _ARRAY = 5, 8, 9

MAX_KEYS = 16_384
MAX_TENSORS = 131_072
MAX_NAME = 1_024
MAX_KEPT_TEXT = 2 << 20
MAX_KEPT_TEXTS = 8 << 20
MAX_KEPT_NUMBERS = 4_096


@dataclass(frozen=True)
class SkippedValue:
    """A value that was not read: its kind ("text", "texts", "numbers") and its length."""

    kind: str
    length: int


Value = int | float | bool | str | tuple[int | float | bool, ...] | SkippedValue


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: `shape` with the fastest dimension first, `kind` such as "Q4_K" ("type 77" if unknown), `size` in
    bytes (0 if the kind is unknown), `offset` from the beginning of the tensor data."""

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int
    offset: int

    @property
    def elements(self) -> int:
        """The number of weights."""
        return prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """What the header says.

    `metadata`: long arrays and texts are SkippedValue. `data_offset`: where the tensor data begins. `needed`: the size
    in bytes of a file with all of its tensors.
    """

    version: int
    metadata: dict[str, Value]
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    needed: int

    def text(self, key: str) -> str:
        """Return the text under `key`, or ""."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """Return the whole number under `key`, the largest of several (one per layer), or 0."""
        value = self.metadata.get(key)
        values = value if isinstance(value, tuple) else (value,)
        whole = [item for item in values if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**48]
        return max(whole, default=0)

    def length(self, key: str) -> int:
        """Return the length of the array under `key`, or 0."""
        value = self.metadata.get(key)
        if isinstance(value, SkippedValue):
            return value.length
        return len(value) if isinstance(value, tuple) else 0


def read_header(path: Path) -> GgufHeader:
    """Read the header of the GGUF file at `path`.

    Raises ModelError if it is not GGUF, of an unknown version, cut short or corrupt.
    """
    try:
        with path.open("rb") as file:
            return _Reader(FileWindow(path.name, file, path.stat().st_size)).header()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}). Check its permissions.") from error


def read_vocabulary(path: Path) -> DraftVocabulary | None:
    """Return the vocabulary of the GGUF file at `path`, None if it has none. Raises ModelError."""
    try:
        with path.open("rb") as file:
            return _Reader(FileWindow(path.name, file, path.stat().st_size)).vocabulary()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror}). Check its permissions.") from error


class _Reader:
    def __init__(self, window: FileWindow) -> None:
        self._window = window
        self._kept = 0

    def header(self) -> GgufHeader:
        """Read and check the whole header."""
        window = self._window
        version = self._version()
        tensor_count = window.count("Q", MAX_TENSORS, "tensors")
        metadata: dict[str, Value] = {}
        for _ in range(window.count("Q", MAX_KEYS, "metadata keys")):
            key = self._name("a metadata key")
            if key in metadata:
                raise window.corrupt(f"the key {key!r} is there twice")
            metadata[key] = self._value()
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment.bit_count() != 1:
            raise window.corrupt(f"its alignment cannot be {alignment!r}")
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise window.corrupt("two tensors have the same name")
        data_offset = _padded(window.position, alignment)
        needed = self._check_layout(tensors, data_offset, alignment) if tensors else window.position
        return GgufHeader(version, metadata, tensors, data_offset, needed)

    def vocabulary(self) -> DraftVocabulary | None:
        """Return the vocabulary, or None."""
        window = self._window
        self._version()
        window.count("Q", MAX_TENSORS, "tensors")
        metadata: dict[str, Value] = {}
        count, digests, unused = 0, tuple[bytes, ...](), 0
        for _ in range(window.count("Q", MAX_KEYS, "metadata keys")):
            key = self._name("a metadata key")
            if key == "tokenizer.ggml.token_type":
                unused = self._unused_at_end()
            elif key != "tokenizer.ggml.tokens":
                metadata[key] = self._value()
            elif (int(window.unpack("I")), int(window.unpack("I"))) == (_ARRAY, _STRING):
                count = int(window.unpack("Q"))
                digests = gguf_digests(window.texts(count), count)
            else:
                return None
        return DraftVocabulary(count, gguf_kind(metadata, count), digests, unused) if count else None

    def _unused_at_end(self) -> int:
        """Read the types of the tokens. Return how many at the end are marked as unused."""
        window = self._window
        if (int(window.unpack("I")), int(window.unpack("I"))) != (_ARRAY, _INT32):
            raise window.corrupt("the types of its tokens are no whole numbers")
        count = int(window.unpack("Q"))
        last = min(count, MOST_DIFFERENT)
        window.skip(4 * (count - last))
        return unused_at_end(struct.unpack(f"<{last}i", window.read(4 * last)))

    def _version(self) -> int:
        window = self._window
        if window.read(4) != b"GGUF":
            raise ModelError(f"{window.name} is not a GGUF file: it does not begin with GGUF. Download it again.")
        version = int(window.unpack("I"))
        if version not in (2, 3):
            raise ModelError(_version_sentence(window.name, version))
        return version

    def _name(self, what: str) -> str:
        try:
            return self._window.read(self._window.count("Q", MAX_NAME, f"bytes in the name of {what}")).decode()
        except UnicodeDecodeError:
            raise self._window.corrupt(f"the name of {what} is not UTF-8") from None

    def _value(self) -> Value:
        kind = int(self._window.unpack("I"))
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array()
        return self._window.unpack(self._scalar(kind))

    def _scalar(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._window.corrupt(f"it holds a value of type {kind}, which is none")
        return _SCALARS[kind]

    def _text(self) -> str | SkippedValue:
        length = int(self._window.unpack("Q"))
        if length > MAX_KEPT_TEXT or self._kept + length > MAX_KEPT_TEXTS:
            self._window.skip(length)
            return SkippedValue("text", length)
        self._kept += length
        return self._window.read(length).decode("utf-8", "replace")

    def _array(self) -> tuple[int | float | bool, ...] | SkippedValue:
        kind, count = int(self._window.unpack("I")), int(self._window.unpack("Q"))
        if kind == _STRING:
            self._window.skip_texts(count)
            return SkippedValue("texts", count)
        if kind == _ARRAY:
            raise self._window.corrupt("it holds an array inside an array")
        form = self._scalar(kind)
        width = struct.calcsize(f"<{form}")
        if count > MAX_KEPT_NUMBERS or self._kept + count * width > MAX_KEPT_TEXTS:
            self._window.skip(count * width)
            return SkippedValue("numbers", count)
        self._kept += count * width
        return struct.unpack(f"<{count}{form}", self._window.read(count * width))

    def _tensor(self) -> GgufTensor:
        window = self._window
        name = self._name("a tensor")
        dimensions = window.count("I", 4, f"dimensions of the tensor {name!r}")
        shape = tuple(int(window.unpack("Q")) for _ in range(dimensions))
        kind, offset = int(window.unpack("I")), int(window.unpack("Q"))
        if kind in REMOVED_TYPES:
            raise ModelError(
                f"{window.name} holds tensors of a type ({kind}) that llama.cpp has removed. "
                "Download a newer quantization."
            )
        label, block, width = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
        tensor = GgufTensor(name, shape, label, 0, offset)
        if not 0 < tensor.elements <= 2**48:
            raise window.corrupt(f"the tensor {name!r} cannot have the shape {list(shape)}")
        if (shape[0] if shape else 1) % block:
            raise window.corrupt(f"a row of the tensor {name!r} is no whole number of {label} blocks")
        return replace(tensor, size=tensor.elements // block * width)

    def _check_layout(self, tensors: tuple[GgufTensor, ...], data_offset: int, alignment: int) -> int:
        """Check that each tensor begins where the previous one ends, as llama.cpp does. Return the bytes needed."""
        end = 0
        exact = True  # False behind a tensor whose type, and so whose size, is unknown
        for tensor in tensors:
            if tensor.offset < end or (exact and tensor.offset != end) or tensor.offset % alignment:
                raise self._window.corrupt(f"the tensor {tensor.name!r} does not begin where the one before it ends")
            end = tensor.offset + _padded(tensor.size, alignment)
            exact = tensor.size > 0
            if end > 2**60:
                raise self._window.corrupt("its tensors are larger than any disk")
        needed = data_offset + tensors[-1].offset + tensors[-1].size
        if needed > self._window.size:
            raise truncated_file_error(self._window.name, needed, self._window.size)
        return needed


def _version_sentence(name: str, version: int) -> str:
    if version == 1:
        return f"{name} is GGUF version 1, which no engine reads any more. Download a newer conversion."
    if version in (0x02000000, 0x03000000):
        return f"{name} is a big-endian GGUF file, for other processors. Download the little-endian one."
    return f"{name} is GGUF version {version}, and Paddock knows 2 and 3. Update Paddock, or download the file again."


def _padded(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
