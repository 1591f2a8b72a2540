"""GGUF headers are read, and no claim of a file is trusted."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from modules.library.gguf import SkippedValue, read_header
from modules.library.sizes import TruncatedFileError
from modules.protocol.errors import ModelError
from tests.library.writers import LLAMA_METADATA, LLAMA_TENSORS, gguf_bytes, gguf_text, gguf_value


def _file(folder: Path, raw: bytes) -> Path:
    path = folder / "m.gguf"
    path.write_bytes(raw)
    return path


def _head(metadata: bytes, keys: int = 1, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + metadata


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_and_tensors_are_read_from_both_versions(tmp_path: Path, version: int) -> None:
    raw = gguf_bytes({**LLAMA_METADATA, "x.per_layer": [1, 2, 3], "x.rope": 0.5, "x.flag": True}, version=version)
    header = read_header(_file(tmp_path, raw))
    assert header.version == version
    assert header.text("general.architecture") == "llama"
    assert header.number("llama.context_length") == 2048
    assert header.number("x.per_layer") == 3
    assert header.number("x.flag") == 0
    assert header.metadata["x.per_layer"] == (1, 2, 3)
    assert header.metadata["tokenizer.ggml.tokens"] == SkippedValue("texts", 4)
    assert header.length("tokenizer.ggml.tokens") == 4
    assert [(tensor.name, tensor.shape, tensor.kind, tensor.size) for tensor in header.tensors] == [
        ("token_embd.weight", (256, 4), "Q8_0", 256 * 4 // 32 * 34),
        ("blk.0.attn_norm.weight", (256,), "F32", 1024),
        ("output.weight", (256, 4), "Q8_0", 256 * 4 // 32 * 34),
    ]
    assert header.needed == len(raw)


def test_a_file_without_its_last_byte_is_truncated_and_both_sizes_are_named(tmp_path: Path) -> None:
    raw = gguf_bytes()
    with pytest.raises(
        TruncatedFileError, match=f"should have {len(raw)} bytes and has {len(raw) - 1}. Download it again."
    ):
        read_header(_file(tmp_path, raw[:-1]))


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 24, 60, 300])
def test_a_file_that_ends_inside_its_header_is_cut_short(tmp_path: Path, kept: int) -> None:
    with pytest.raises(TruncatedFileError, match="cut short"):
        read_header(_file(tmp_path, gguf_bytes()[:kept]))


HUGE = struct.pack("<Q", 2**63)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "another file": (b"PK\3\4" + bytes(100), "not a GGUF file"),
    "version 1": (_head(b"", 0, 0, 1), "version 1"),
    "version 9": (_head(b"", 0, 0, 9), "version 9"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + bytes(100), "big-endian"),
    "2**63 keys": (b"GGUF" + struct.pack("<IQ", 3, 0) + HUGE, "metadata keys"),
    "2**63 tensors": (b"GGUF" + struct.pack("<I", 3) + HUGE + bytes(8), "tensors"),
    "a key of 2**63 bytes": (_head(HUGE + bytes(64)), "name of a metadata key"),
    "a text of 2**63 bytes": (_head(gguf_text("k") + struct.pack("<I", 8) + HUGE), "header would be larger"),
    "2**63 numbers": (_head(gguf_text("k") + struct.pack("<II", 9, 4) + HUGE), "header would be larger"),
    "2**63 texts": (_head(gguf_text("k") + struct.pack("<II", 9, 8) + HUGE), "texts"),
    "nested arrays": (_head(gguf_text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64)), "array inside an array"),
    "value type 99": (_head(gguf_text("k") + struct.pack("<I", 99) + bytes(64)), "type 99"),
    "a key twice": (_head((gguf_text("k") + gguf_value(1)) * 2, 2), "'k' is there twice"),
    "a key that is not UTF-8": (_head(gguf_text(b"\xff\xfe") + gguf_value(1)), "not UTF-8"),
    "alignment 0": (_head(gguf_text("general.alignment") + gguf_value(0)), "alignment cannot be 0"),
    "alignment 33": (_head(gguf_text("general.alignment") + gguf_value(33)), "alignment cannot be 33"),
    "alignment 2**31": (_head(gguf_text("general.alignment") + gguf_value(2**31)), "alignment cannot be"),
    "nine dimensions": (_head(gguf_text("t") + struct.pack("<I", 9) + bytes(99), 0, 1), "dimensions"),
    "an empty tensor": (_head(gguf_text("t") + struct.pack("<IQIQ", 1, 0, 0, 0), 0, 1), "cannot have the shape"),
    "2**120 weights": (
        _head(gguf_text("t") + struct.pack("<IQQIQ", 2, 2**60, 2**60, 0, 0), 0, 1),
        "cannot have the shape",
    ),
    "half a block": (_head(gguf_text("t") + struct.pack("<IQIQ", 1, 33, 8, 0), 0, 1), "whole number of Q8_0 blocks"),
    "a removed type": (_head(gguf_text("t") + struct.pack("<IQIQ", 1, 32, 31, 0), 0, 1), "has removed"),
    "an offset of 2**63": (_head(gguf_text("t") + struct.pack("<IQIQ", 1, 32, 0, 2**63), 0, 1), "does not begin where"),
    "two tensors of one name": (
        _head((gguf_text("t") + struct.pack("<IQIQ", 1, 8, 0, 0)) * 2 + bytes(99), 0, 2),
        "same name",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    raw, reason = HOSTILE[case]
    with pytest.raises(ModelError, match=reason) as caught:
        read_header(_file(tmp_path, raw))
    assert "m.gguf" in caught.value.message
    assert caught.value.message.endswith(".")


def test_tensors_that_overlap_are_refused(tmp_path: Path) -> None:
    raw = gguf_bytes({}, [("a", (256,), 0), ("b", (256,), 0)])
    assert raw.count(struct.pack("<Q", 1024)) == 1
    with pytest.raises(ModelError, match="'b' does not begin where the one before it ends"):
        read_header(_file(tmp_path, raw.replace(struct.pack("<Q", 1024), struct.pack("<Q", 32))))


def test_a_type_that_is_not_known_yet_is_no_error(tmp_path: Path) -> None:
    raw = _head(gguf_text("t") + struct.pack("<IQIQ", 1, 32, 77, 0), 0, 1)
    (tensor,) = read_header(_file(tmp_path, raw + bytes(64))).tensors
    assert (tensor.kind, tensor.elements, tensor.size) == ("type 77", 32, 0)


def test_a_text_in_another_encoding_is_read_with_replacement(tmp_path: Path) -> None:
    raw = _head(gguf_text("k") + struct.pack("<I", 8) + gguf_text(b"caf\xe9"))
    assert read_header(_file(tmp_path, raw)).text("k") == "caf�"


def test_a_text_of_megabytes_is_skipped(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {"huge": "x" * (3 << 20), "after": "here"}
    header = read_header(_file(tmp_path, gguf_bytes(metadata, [])))
    assert header.metadata["huge"] == SkippedValue("text", 3 << 20)
    assert header.text("after") == "here"


def test_a_vocabulary_of_150_000_tokens_is_read_fast_and_in_little_memory(tmp_path: Path) -> None:
    tokens = [f"token{number}" for number in range(150_000)]
    metadata = {**LLAMA_METADATA, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [0.5] * 150_000}
    path = _file(tmp_path, gguf_bytes(metadata, LLAMA_TENSORS))
    begin = time.process_time()
    header = read_header(path)
    seconds = time.process_time() - begin
    assert header.length("tokenizer.ggml.tokens") == header.length("tokenizer.ggml.scores") == 150_000
    assert seconds < 1
    tracemalloc.start()
    read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
