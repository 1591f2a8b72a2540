"""A small window of bytes that moves through an untrusted file, regardless of the lengths that the file claims."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from modules.library.sizes import TruncatedFileError
from modules.protocol.errors import ModelError

# Far above real headers (a vocabulary of 300,000 with its merges is a million texts in 30 MB).
MAX_HEADER = 256 << 20
MAX_TEXTS = 4_000_000
_READ = 1 << 20


class FileWindow:
    """Reads little-endian values from the start of a file of `size` bytes. Raises TruncatedFileError and ModelError."""

    def __init__(self, name: str, file: BinaryIO, size: int) -> None:
        self.name = name
        self.size = size
        self._file = file
        self._data, self._start, self._at = b"", 0, 0
        self._texts = 0

    @property
    def position(self) -> int:
        """The number of bytes read so far."""
        return self._start + self._at

    def corrupt(self, what: str) -> ModelError:
        """Return the error for an impossible header."""
        return ModelError(f"{self.name} is corrupt or hostile: {what}. Download it again from a source you trust.")

    def read(self, count: int) -> bytes:
        """Read the next `count` bytes, a few MB at most."""
        self._need(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def unpack(self, form: str) -> int | float | bool:
        """Read the next value in the `struct` format `form`."""
        width = struct.calcsize(f"<{form}")
        self._need(width)
        self._at += width
        value: int | float | bool = struct.unpack_from(f"<{form}", self._data, self._at - width)[0]
        return value

    def count(self, form: str, limit: int, what: str) -> int:
        """Read the next number, which counts `what` and must not exceed `limit`."""
        value = int(self.unpack(form))
        if value > limit:
            raise self.corrupt(f"it claims {value} {what}, and {limit} is the most that makes sense")
        return value

    def skip(self, count: int) -> None:
        """Skip `count` bytes without reading them."""
        if self._at + count <= len(self._data):
            self._at += count
            return
        self._check(count)
        self._start, self._at, self._data = self.position + count, 0, b""
        self._file.seek(self._start)

    def skip_texts(self, count: int) -> None:
        """Skip `count` texts, each an 8-byte length and its bytes, at about 10 million per second."""
        self._texts += count
        if self._texts > MAX_TEXTS:
            raise self.corrupt(f"it claims more than {MAX_TEXTS} texts")
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if self._at + 8 > len(self._data):
                self._need(8)
            length = unpack(self._data, self._at)[0]
            self._at += 8
            if self._at + length <= len(self._data):
                self._at += length
            else:
                self.skip(length)

    def texts(self, count: int) -> Iterator[bytes]:
        """Read `count` texts, each an 8-byte length and its bytes, and yield one after another."""
        self._texts += count
        if self._texts > MAX_TEXTS:
            raise self.corrupt(f"it claims more than {MAX_TEXTS} texts")
        for _ in range(count):
            yield self.read(int.from_bytes(self.read(8), "little"))

    def _check(self, count: int) -> None:
        if self.position + count > MAX_HEADER:
            raise self.corrupt(f"its header would be larger than {MAX_HEADER >> 20} MB")
        if self.position + count > self.size:
            raise TruncatedFileError(
                f"The file {self.name} is cut short: it ends inside its header, after {self.size} bytes. "
                "Download it again."
            )

    def _need(self, count: int) -> None:
        if self._at + count <= len(self._data):
            return
        self._check(count)
        rest = self._data[self._at :]
        self._start, self._at = self.position, 0
        self._data = rest + self._file.read(max(_READ, count) - len(rest))
        if len(self._data) < count:  # it shrank while it was read
            raise TruncatedFileError(
                f"The file {self.name} is cut short: it ends inside its header. Download it again."
            )
