"""Safetensors headers and indexes are read, and no claim of a file is trusted."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.library.safetensors import files_in_index, read_header
from modules.library.sizes import TruncatedFileError
from modules.protocol.errors import ModelError
from tests.library.writers import safetensors_bytes, write_json


def _file(folder: Path, raw: bytes) -> Path:
    path = folder / "m.safetensors"
    path.write_bytes(raw)
    return path


def _with_header(header: Any, data: int = 0) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def test_names_shapes_types_and_sizes_are_read(tmp_path: Path) -> None:
    header = read_header(
        _file(tmp_path, safetensors_bytes({"a": ("BF16", (4, 8)), "b": ("F32", ()), "c": ("I8", (0, 3))}))
    )
    assert {name: (info.kind, info.shape, info.elements, info.size) for name, info in header.items()} == {
        "a": ("BF16", (4, 8), 32, 64),
        "b": ("F32", (), 1, 4),
        "c": ("I8", (0, 3), 0, 0),
    }


def test_a_file_without_its_last_byte_is_truncated_and_both_sizes_are_named(tmp_path: Path) -> None:
    raw = safetensors_bytes({"a": ("F16", (4, 8))})
    with pytest.raises(
        TruncatedFileError, match=f"should have {len(raw)} bytes and has {len(raw) - 1}. Download it again."
    ):
        read_header(_file(tmp_path, raw[:-1]))


@pytest.mark.parametrize("kept", [0, 7, 8, 40])
def test_a_file_that_ends_inside_its_header_is_cut_short(tmp_path: Path, kept: int) -> None:
    with pytest.raises(TruncatedFileError, match="ends inside its header"):
        read_header(_file(tmp_path, safetensors_bytes({"a": ("F16", (4, 8))})[:kept]))


def _entry(**changes: Any) -> dict[str, Any]:
    return {"t": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8], **changes}}


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a header of 2**63 bytes": (struct.pack("<Q", 2**63) + bytes(100), "header of 9223372036854775808 bytes"),
    "no JSON": (_with_header(b"<html>"), "not valid JSON"),
    "no UTF-8": (_with_header(b"\xff\xfe{}"), "not valid JSON"),
    "a list": (_with_header([1]), "must be a JSON object"),
    "deep nesting": (_with_header(b'{"a":' * 200_000), "not valid JSON"),
    "an entry that is not an object": (_with_header({"t": 3}), "'t' is not an object"),
    "no type": (_with_header(_entry(dtype=None), 8), "lacks a type"),
    "no shape": (_with_header(_entry(shape="4"), 8), "lacks a type, a shape"),
    "a negative shape": (_with_header(_entry(shape=[-4]), 8), "lacks a type, a shape"),
    "a true shape": (_with_header(_entry(shape=[True]), 8), "lacks a type, a shape"),
    "three offsets": (_with_header(_entry(data_offsets=[0, 8, 9]), 8), "lacks a type, a shape or offsets"),
    "an offset of 10**400": (_with_header(_entry(data_offsets=[0, 10**400]), 8), "does not have the size"),
    "offsets backwards": (_with_header(_entry(data_offsets=[8, 0]), 8), "cannot be"),
    "2**120 weights": (_with_header(_entry(shape=[2**60, 2**60]), 8), "cannot be"),
    "a size that is not the shape's": (_with_header(_entry(shape=[5]), 8), "does not have the size of its shape"),
    "a gap at the beginning": (_with_header(_entry(data_offsets=[8, 16]), 16), "does not begin where"),
    "an overlap": (_with_header({**_entry(), "u": _entry(data_offsets=[4, 12])["t"]}, 12), "does not begin where"),
    "bytes behind the end": (_with_header(_entry(), 9), "1 bytes more"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    raw, reason = HOSTILE[case]
    with pytest.raises(ModelError, match=reason) as caught:
        read_header(_file(tmp_path, raw))
    assert "m.safetensors" in caught.value.message


def test_an_unknown_type_is_no_error(tmp_path: Path) -> None:
    assert read_header(_file(tmp_path, _with_header(_entry(dtype="F5_NEW"), 8)))["t"].kind == "F5_NEW"


def test_an_index_names_its_files_once_each(tmp_path: Path) -> None:
    write_json(tmp_path / "i.json", {"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}})
    assert files_in_index(tmp_path / "i.json") == ["1.safetensors", "2.safetensors"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", "C:\\x", "a\0b", "", 3, None, ["a"]])
def test_an_index_that_names_files_elsewhere_is_refused(tmp_path: Path, name: Any) -> None:
    write_json(tmp_path / "i.json", {"weight_map": {"a": "1.safetensors", "b": name}})
    with pytest.raises(ModelError, match="outside the folder"):
        files_in_index(tmp_path / "i.json")


@pytest.mark.parametrize("value", [{}, {"weight_map": {}}, {"weight_map": 3}, [], "x"])
def test_an_index_without_weights_is_refused(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "i.json", value)
    with pytest.raises(ModelError, match=r"i\.json"):
        files_in_index(tmp_path / "i.json")


_MANY = """
import json, struct, sys
from pathlib import Path
from modules.library.detect import detect
folder, files, count, key = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
entry = '{"%s":"F32","shape":[0],"data_offsets":[0,0]}' % key
for file in range(files):
    raw = ("{" + ",".join(f'"model.layers.0.t{file}.{n}.weight":{entry}' for n in range(count)) + "}").encode()
    (folder / f"m-{file}.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
(folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
print(*detect(folder, "m").problems)
"""


@pytest.mark.parametrize(
    ("files", "count", "key", "most"),
    [(1, 300_000, "dtype", "131,072"), (1, 200_000, "\\u0064type", "131,072"), (8, 100_000, "dtype", "400,000")],
)
def test_a_header_with_more_tensors_than_a_model_has_is_refused_soon(
    tmp_path: Path, root: Path, files: int, count: int, key: str, most: str
) -> None:
    command = [sys.executable, "-c", _MANY, str(tmp_path), str(files), str(count), key]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert f"names more than {most} tensors" in answer.stdout


def test_an_index_with_a_million_tensors_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(map(str, range(1_000_000)), "a.safetensors")}))
    with pytest.raises(ModelError, match="names more than 400,000 tensors"):
        files_in_index(index)
