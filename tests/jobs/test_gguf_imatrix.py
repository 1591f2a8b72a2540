"""Importance matrices: read, computed, and used as llama.cpp's own quantizer uses them."""

from __future__ import annotations

import json
import struct
from array import array
from pathlib import Path

import numpy
import pytest

from modules.families.gguf_quantization import NEED_IMPORTANCE
from modules.library.gguf import read_header
from tests.library.writers import gguf_bytes
from tests.support.gguf_quantizers import Case, GgufQuantizers, read_tensors
from tests.support.many_layers import write_many_layers, write_old_matrix
from tests.support.quantize import made_by

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo"
SUMS = ROOT / "tests" / "support" / "imatrix_collector_maker.py"
MOST = (*NEED_IMPORTANCE, "Q5_0", "Q4_K_M", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K_M", "IQ3_M", "IQ3_S", "Q2_K")
SOME = ("IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_XS", "IQ1_M", "Q5_0", "Q4_0", "IQ4_XS", "Q3_K_M", "Q2_K")


def test_types_and_bytes_with_a_matrix_are_llama_cpps(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    shapes = {"shared": (2, 0, False, MOST), "tied": (8, 0, True, SOME), "moe": (2, 8, False, SOME)}
    cases = []
    for name, (kv_heads, experts, tied, types) in shapes.items():
        source = write_many_layers(tmp_path / f"{name}.gguf", kv_heads, experts, tied)
        matrix = tmp_path / f"{name}.imatrix"
        write_old_matrix(matrix, source)
        cases.append(Case(source, tmp_path / name, types, {"imatrix": str(matrix)}))
    quantizers.assert_same(*cases)


def test_both_forms_of_a_file_mean_the_same(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    values = write_old_matrix(tmp_path / "old.dat", source)
    _write_new_matrix(tmp_path / "new.gguf", values, counts=3)
    for name in ("old.dat", "new.gguf"):
        matrix = str(tmp_path / name)
        quantizers.quantize("xllamacpp", source, tmp_path / name[:3], ["IQ2_XS"], imatrix=matrix)
    old, new = (tmp_path / form / "IQ2_XS" / "demo.gguf" for form in ("old", "new"))
    assert read_tensors(old) == read_tensors(new)
    assert read_header(old).metadata["quantize.imatrix.dataset"] == "old.dat"
    assert read_header(old).metadata["quantize.imatrix.entries_count"] == len(values)


def test_columns_that_matter_more_are_kept_better(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    values = write_old_matrix(tmp_path / "old.dat", source)
    name = "blk.3.ffn_up.weight"
    original = _matrix(read_tensors(source)[name][1], 256)
    errors = {}
    for label, settings in {"without": {}, "with": {"imatrix": str(tmp_path / "old.dat")}}.items():
        quantizers.quantize("xllamacpp", source, tmp_path / label, ["Q2_K"], **settings)
        small = tmp_path / label / "Q2_K" / "demo.gguf"
        quantizers.quantize("xllamacpp", small, tmp_path / label, ["F32"], requantize="true")
        kept = _matrix(read_tensors(tmp_path / label / "F32" / "demo.gguf")[name][1], 256)
        errors[label] = float(((original - kept) ** 2 * numpy.array(values[name])).sum())
    assert 0 < errors["with"] < 0.9 * errors["without"]


def _write_new_matrix(file: Path, values: dict[str, list[float]], counts: int) -> None:
    """Write the form that llama-imatrix writes now: sums of squares, and how many rows were added up."""
    tensors: list[tuple[str, tuple[int, ...], int]] = []
    data = b""
    for name, row in values.items():
        tensors += [(f"{name}.in_sum2", (len(row), 1), 0), (f"{name}.counts", (1, 1), 0)]
        for part in (array("f", (value * counts for value in array("f", row))), array("f", [counts])):
            data += part.tobytes() + bytes(-len(part.tobytes()) % 32)
    file.write_bytes(gguf_bytes({"general.type": "imatrix", "imatrix.datasets": ["text"]}, tensors))
    begin = read_header(file).data_offset
    file.write_bytes(file.read_bytes()[:begin] + data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is no importance matrix, or is damaged"),
        (struct.pack("<ii", 1, 900) + b"x", "is no importance matrix, or is damaged"),
        (b"", "is no importance matrix, or is damaged"),
        (struct.pack("<ii", 1, 19) + b"blk.0.attn_q.weight" + struct.pack("<ii2f", 1, 2, 1, 1), "of another model"),
        (struct.pack("<ii", 1, 19) + b"blk.0.attn_x.weight" + struct.pack("<ii2f", 1, 2, 1, 1), "needs importances of"),
        (
            struct.pack("<ii", 1, 19) + b"blk.0.attn_q.weight" + struct.pack("<ii256f", 1, 256, *[float("nan")] * 256),
            "infinite or not a number",
        ),
    ],
)
def test_a_matrix_that_cannot_be_used_is_a_sentence(
    quantizers: GgufQuantizers, tmp_path: Path, content: bytes, words: str
) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    (tmp_path / "bad.dat").write_bytes(content)
    with pytest.raises(Exception, match=words):
        quantizers.quantize("xllamacpp", source, tmp_path / "out", ["IQ2_XS"], imatrix=str(tmp_path / "bad.dat"))


def test_the_sums_are_those_of_what_flows_into_the_first_layer(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    """What flows into the first layer's attention is known without an engine: the normalized embeddings."""
    quantizers.quantize("xllamacpp", DEMO, tmp_path, ["F32"])
    file = tmp_path / "F32" / "demo.gguf"
    tokens = list(range(4, 134))
    found = json.loads(made_by("xllamacpp", tmp_path / "sums", SUMS, str(file), json.dumps(tokens)).read_text())
    tensors = read_tensors(file)
    embedded = _matrix(tensors["token_embd.weight"][1], 256)[tokens[:128]]
    norm = numpy.frombuffer(tensors["blk.0.attn_norm.weight"][1], numpy.float32)
    flow = embedded / numpy.sqrt((embedded**2).mean(axis=1, keepdims=True) + 1e-5) * norm
    # 130 tokens: the last predicts nothing, and the piece of one token before it is left out, as in llama.cpp.
    assert found["counts"]["blk.0.attn_q.weight"] == [128]
    assert found["sums"]["blk.0.attn_q.weight"] == pytest.approx((flow**2).sum(axis=0).tolist(), rel=1e-4)
    assert found["sums"]["blk.5.attn_k.weight"] == found["sums"]["blk.5.attn_v.weight"]
    assert len(found["sums"]) == 6 * 7


def _matrix(raw: bytes, columns: int) -> numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float32]]:
    return numpy.frombuffer(raw, numpy.float32).reshape(-1, columns)
