"""GGUF models in several files: named and keyed as llama.cpp's gguf-split does, and one model for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.library.gguf import read_header
from tests.support.gguf_quantizers import GgufQuantizers, read_tensors
from tests.support.many_layers import LAYERS, write_many_layers


@pytest.mark.parametrize("loader", ["xllamacpp", "llamacpp"])
@pytest.mark.parametrize("limit", [{"split_size": "20KB"}, {"split_tensors": "50"}], ids=["size", "tensors"])
def test_parts_have_llama_cpps_names_and_keys_and_together_the_same_tensors(
    quantizers: GgufQuantizers, tmp_path: Path, loader: str, limit: dict[str, str]
) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    quantizers.quantize(loader, source, tmp_path / "whole", ["Q8_0"])
    quantizers.quantize(loader, source, tmp_path / "parts", ["Q8_0"], **limit)
    parts = sorted((tmp_path / "parts" / "Q8_0").iterdir())
    count = len(parts)
    assert count > 2
    assert [part.name for part in parts] == [f"demo-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1)]
    joined: dict[str, tuple[str, bytes]] = {}
    for number, part in enumerate(parts):
        header = read_header(part)
        keys = {key: value for key, value in header.metadata.items() if key.startswith("split.")}
        assert keys == {"split.no": number, "split.count": count, "split.tensors.count": 8 * LAYERS + 3}
        assert ("general.architecture" in header.metadata) == (number == 0)
        sizes = [tensor.size for tensor in header.tensors]
        assert sum(sizes) <= 20_000 if "split_size" in limit else len(sizes) <= 50
        joined.update(read_tensors(part))
    assert joined == read_tensors(tmp_path / "whole" / "Q8_0" / "demo.gguf")


def test_a_tensor_that_is_larger_than_a_part_has_one_of_its_own(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    quantizers.quantize("xllamacpp", source, tmp_path, ["Q8_0"], split_size="1")
    assert len(list((tmp_path / "Q8_0").iterdir())) == 8 * LAYERS + 3


def test_a_split_model_is_a_source(quantizers: GgufQuantizers, tmp_path: Path) -> None:
    source = write_many_layers(tmp_path / "many.gguf")
    quantizers.quantize("xllamacpp", source, tmp_path / "parts", ["F16"], split_tensors="50")
    quantizers.quantize("xllamacpp", source, tmp_path / "whole", ["Q4_K_M"])
    first = tmp_path / "parts" / "F16" / "demo-00001-of-00003.gguf"
    quantizers.quantize("xllamacpp", first, tmp_path / "again", ["Q4_K_M"])
    whole, again = (tmp_path / name / "Q4_K_M" / "demo.gguf" for name in ("whole", "again"))
    assert {name: kind for name, (kind, _) in read_tensors(again).items()} == {
        name: kind for name, (kind, _) in read_tensors(whole).items()
    }
    assert not [key for key in read_header(again).metadata if key.startswith("split.")]
    first.with_name("demo-00002-of-00003.gguf").unlink()
    with pytest.raises(Exception, match=r"demo-00002-of-00003.gguf is missing beside demo-00001-of-00003.gguf"):
        quantizers.quantize("xllamacpp", first, tmp_path / "no", ["Q4_K_M"])
