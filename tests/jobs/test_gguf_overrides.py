"""Types that a user sets for single tensors, beside llama.cpp's own quantizer; and files that are quantized again."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.families.gguf_quantization import GgufSettings, part_bytes
from modules.families.gguf_tensor_types import parse_overrides
from modules.protocol.errors import SettingError
from modules.protocol.schema import build
from tests.support.gguf_quantizers import Case, GgufQuantizers, read_tensors
from tests.support.many_layers import write_many_layers

PATTERNS = r"attn_v=Q8_0,blk\.(1[0-5]{1,2}|[0-1])\.ffn_down=q6_k,FFN_DOWN=IQ4_XS,token_embd=Q5_0"


@pytest.mark.parametrize(
    ("tied", "settings"),
    [
        (False, {"tensor_types": PATTERNS, "output_type": "Q5_K", "embedding_type": "q4_0"}),
        (True, {"tensor_types": PATTERNS}),
        (True, {"output_type": "Q8_0"}),
    ],
)
def test_types_of_single_tensors_are_llama_cpps(
    quantizers: GgufQuantizers, tmp_path: Path, tied: bool, settings: dict[str, str]
) -> None:
    source = write_many_layers(tmp_path / "many.gguf", tied=tied)
    quantizers.assert_same(Case(source, tmp_path, ("Q4_K_M", "Q2_K"), settings))
    made = read_tensors(tmp_path / "xllamacpp" / "Q4_K_M" / "demo.gguf")
    if "tensor_types" in settings:
        kinds = [made[f"blk.{layer}.ffn_down.weight"][0] for layer in (0, 1, 2, 9, 10, 15)]
        assert kinds == ["Q6_K", "Q6_K", "IQ4_XS", "IQ4_XS", "Q6_K", "Q6_K"]
        assert made["token_embd.weight"][0] == ("Q5_0" if tied else "Q4_0")
    else:
        assert made["token_embd.weight"][0] == "Q8_0"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tensor_types": "attn_w=Q8_0"}, r"'attn_w' \(tensor_types\) matches no tensor .* attn_v.weight, .*ffn_up"),
        ({"tensor_types": "attn_norm=Q8_0"}, "matches no tensor that is quantized"),
        ({"tensor_types": "attn_v=IQ2_XS"}, "IQ2_XS needs an importance matrix, .*--set imatrix=auto"),
    ],
)
def test_an_override_that_cannot_be_is_a_sentence(
    quantizers: GgufQuantizers, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    with pytest.raises(Exception, match=words):
        quantizers.quantize("xllamacpp", source, tmp_path / "out", ["Q4_K_M"], **settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("attn_v=Q4_K_M", "is no type of a tensor. Q4_K_M is a mix of several types; one tensor has Q4_K. The types"),
        ("attn_v=Q9", "'Q9' .tensor_types. is no type of a tensor. The types are: F32, F16"),
        ("attn_v", "Write PATTERN=TYPE"),
        ("=Q8_0", "Write PATTERN=TYPE"),
        ("attn(=Q8_0", "no regular expression"),
    ],
)
def test_a_wrong_entry_is_a_sentence_before_the_job_starts(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        parse_overrides(text, "", "")


def test_a_pattern_may_contain_commas_and_equals_signs() -> None:
    found = parse_overrides(r"blk\.\d{1,2}\.(?=ffn)=Q8_0, attn=q4_k", "", "f16")
    assert found.patterns == ((r"blk\.\d{1,2}\.(?=ffn)", "Q8_0"), ("attn", "Q4_K"))
    assert found.embedding == "F16"


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("2GiB", 2 << 30), ("1.5 gb", 1_500_000_000), ("300M", 300_000_000), ("4096", 4096)]
)
def test_the_size_of_a_part_has_the_usual_units(text: str, size: int) -> None:
    assert part_bytes(build(GgufSettings, {"split_size": text})) == size


@pytest.mark.parametrize("text", ["two", "-1GB", "0", "1e9", "5 TB"])
def test_a_size_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(SettingError, match="such as 2GiB"):
        part_bytes(build(GgufSettings, {"split_size": text}))


def test_a_quantized_file_is_quantized_again_as_llama_cpp_does(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    sources = ("Q8_0", "Q6_K", "IQ4_XS")
    quantizers.quantize("xllamacpp", source, tmp_path / "once", sources)
    cases = [
        Case(
            tmp_path / "once" / kind / "demo.gguf",
            tmp_path / f"again-{kind}",
            ("Q4_K_M", "F16"),
            {"requantize": "true"},
        )
        for kind in sources
    ]
    quantizers.assert_same(*cases)
    with pytest.raises(Exception, match="is quantized already .*Q8_0.* quantizing twice loses more than once"):
        quantizers.quantize("xllamacpp", tmp_path / "once" / "Q8_0" / "demo.gguf", tmp_path / "no", ["Q4_K_M"])
