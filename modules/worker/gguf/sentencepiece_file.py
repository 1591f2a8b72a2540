"""A SentencePiece vocabulary (tokenizer.model), read without its library.

Format: the protocol buffer ModelProto of
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError

_UNIGRAM, _BPE = 1, 2


@dataclass(frozen=True)
class Pieces:
    """`pieces`: (text, score, type) by token id; types are those of the file, which GGUF shares. `ids`: of "unk",
    "bos", "eos" and "pad", -1 where there is none. `space_prefix`: a space is put before a text."""

    pieces: list[tuple[str, float, int]]
    ids: dict[str, int]
    space_prefix: bool


def read_pieces(file: Path) -> Pieces:
    """Return the vocabulary in `file`. Raises ModelError for one that is no BPE, or damaged."""
    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    try:
        for number, value in _fields(file.read_bytes()):
            if number == 1:
                piece = dict(_fields(value))
                score = struct.unpack("<f", struct.pack("<I", piece.get(2, 0)))[0]
                pieces.append((piece.get(1, b"").decode("utf-8"), score, piece.get(3, 1)))
            elif number == 2:
                trainer = dict(_fields(value))
            elif number == 3:
                normalizer = dict(_fields(value))
    except (ValueError, IndexError, TypeError, AttributeError, struct.error):
        raise ModelError(f"{file.name} of {file.parent.name} is damaged. Download it again.") from None
    if trainer.get(3, _UNIGRAM) != _BPE:
        raise ModelError(
            f"The tokenizer of {file.parent.name} is SentencePiece's unigram model, which this converter does not "
            "write. Choose another method, or download the model as GGUF."
        )
    places = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}
    ids = {name: _signed(trainer.get(number, default)) for name, (number, default) in places.items()}
    return Pieces(pieces, ids, bool(normalizer.get(3, 1)))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value): whole numbers, four bytes as one of them, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("cut short")
            yield number, data[at : at + length]
            at += length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            yield number, int.from_bytes(data[at : at + width], "little")
            at += width
        else:
            raise ValueError(f"a field of the kind {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")
