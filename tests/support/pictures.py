"""Small pictures for tests, written without a library."""

from __future__ import annotations

import struct
import zlib

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 160, 0)


def png(colour: tuple[int, int, int], width: int = 28, height: int = 28) -> bytes:
    """Return a PNG of one colour."""
    row = b"\0" + bytes(colour) * width
    return png_of(zlib.compress(row * height, 9), width, height)


def png_of(data: bytes, width: int, height: int) -> bytes:
    """Return a PNG with this header and compressed data, which need not fit each other."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, (b"IHDR", b"IDAT", b"IEND"), (head, data, b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
