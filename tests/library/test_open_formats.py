"""Detection reports every quantization method, and loaders declare which of them they support."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from loaders.echo.spec import SPEC as ECHO
from modules.library.detect import detect
from modules.library.ranking import explain_no_loader, rank_loaders
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.runtime.loader_registry import Registry
from tests.library.writers import LLAMA_CONFIG, write_folder, write_json

MACHINE = Machine("linux", "x86_64", 8, 16 << 30, 12 << 30)
SPECS = list(Registry(Path(__file__).resolve().parents[2] / "loaders").specs.values())
BLOCKS = {
    "model.norm.weight": ("F16", (256,)),
    "model.layers.0.x.weight": ("F8_E4M3", (256, 256)),
    "model.layers.0.x.weight_scale_inv": ("F32", (2, 2)),
}


def _with(quantization: dict[str, Any]) -> dict[str, Any]:
    return {**LLAMA_CONFIG, "quantization_config": quantization}


def _explain(facts: ModelFacts, specs: list[LoaderSpec]) -> str:
    return explain_no_loader(facts, rank_loaders(facts, specs, MACHINE), specs)


METHODS = [
    ({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}, "fp8", 8, "vLLM"),
    ({"quant_method": "fbgemm_fp8"}, "fbgemm_fp8", 8, "fbgemm-gpu"),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}},
        },
        "compressed-tensors",
        4,
        "compressed-tensors",
    ),
    ({"quant_method": "mxfp4"}, "mxfp4", 4.25, "llama.cpp reads its GGUF"),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt", 4.5, "TensorRT-LLM"),
    ({"quant_method": "aqlm"}, "aqlm", 0, "the package aqlm"),
    ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, "auto-round", 4, "auto-round"),
    ({"quant_method": "bitnet"}, "bitnet", 0, "bitnet.cpp"),
    ({"quant_method": "torchao", "quant_type": {"default": {}}}, "torchao", 0, "torchao"),
    ({"quant_method": "exl3", "bits": 3.5}, "exl3", 3.5, "ExLlamaV3"),
    ({"quant_method": "Brand_New", "bits": 2}, "brand_new", 2, ""),
]


@pytest.mark.parametrize(("config", "method", "bits", "reader"), METHODS)
def test_a_method_is_the_format_and_without_a_loader_says_what_was_found(
    tmp_path: Path, config: dict[str, Any], method: str, bits: float, reader: str
) -> None:
    facts = detect(write_folder(tmp_path / "m", _with(config)), "m")
    assert (facts.format, facts.bits, facts.problems) == (method, bits, ())
    assert facts.sources("method") == {"config.json: quantization_config": method}

    reads = dataclasses.replace(ECHO, name="llama", hidden=False, formats=("gguf", "gptq"), claim=lambda *_: None)
    sentence = _explain(facts, [reads])
    assert f"quantized with {method}" in sentence and "as config.json: quantization_config says" in sentence
    assert ("Outside of Paddock" in sentence) == bool(reader) and reader in sentence
    assert sentence.endswith("quantized with one of: gptq.")
    assert reads.problems(facts, MACHINE) == (
        f"Echo does not read the format {method}. Choose another loader for this model.",
    )


@pytest.mark.parametrize("config", [METHODS[-1][0], METHODS[-2][0]])
def test_a_loader_from_elsewhere_claims_a_method_by_its_name(tmp_path: Path, config: dict[str, Any]) -> None:
    facts = detect(write_folder(tmp_path / "m", _with(config)), "m")
    claim = Claim(70, "Reads it.")
    spec = dataclasses.replace(
        ECHO, name="new", hidden=False, formats=(facts.format,), claim=lambda facts, _: claim if facts.bits else None
    )
    assert [entry.loader for entry in rank_loaders(facts, [*SPECS, spec], MACHINE) if entry.runs] == ["new"]
    assert _explain(facts, [spec]) == "" and spec.problems(facts, MACHINE) == ()


@pytest.mark.parametrize("name", ["gguf", "safetensors", "pickle", "remote", "unknown", "a b", "../x", "x" * 60, ""])
def test_a_method_with_the_name_of_a_file_format_is_unknown(tmp_path: Path, name: str) -> None:
    facts = detect(write_folder(tmp_path / "m", _with({"quant_method": name, "other": 1})), "m")
    assert facts.format == "unknown"
    assert not any(entry.runs for entry in rank_loaders(facts, SPECS, MACHINE))
    sentence = _explain(facts, SPECS)
    assert "quantized with" in sentence and "config.json: quantization_config" in sentence


def test_the_method_is_detected_from_tensors_if_no_file_names_it(tmp_path: Path) -> None:
    facts = detect(write_folder(tmp_path / "n", None, {"model.layers.0.x.weight": ("F8_E4M3", (8, 8))}), "n")
    assert facts.format == "fp8" and facts.problems == ()
    assert facts.sources("method") == {"safetensors headers: model.layers.0.x.weight is F8_E4M3": "fp8"}
    assert not any(entry.runs for entry in rank_loaders(facts, SPECS, MACHINE))
    assert "config.json does not say" in _explain(facts, SPECS)


def test_modelopts_own_file_names_the_method(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    write_json(folder / "hf_quant_config.json", {"quantization": {"quant_algo": "FP8"}})
    facts = detect(folder, "m")
    assert (facts.format, facts.bits) == ("modelopt", 8)
    assert facts.sources("method") == {"hf_quant_config.json": "modelopt"}


def test_parameters_of_packed_formats_are_counted_unpacked(tmp_path: Path) -> None:
    facts = detect(write_folder(tmp_path / "a", _with({"quant_method": "fp8"}), BLOCKS), "a")
    assert facts.parameters == 256 + 256 * 256
    assert facts.sources("scales") == {"safetensors headers: model.layers.0.x.weight_scale_inv": "weight_scale_inv"}
    weights = {"num_bits": 4, "type": "int"}
    config = _with({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}})
    packed = {
        "model.layers.0.x.weight_packed": ("I32", (256, 32)),
        "model.layers.0.x.weight_scale": ("BF16", (256, 2)),
        "model.layers.0.x.weight_shape": ("I64", (2,)),
    }
    assert detect(write_folder(tmp_path / "b", config, packed), "b").parameters == 256 * 256
    tiles = {
        "model.layers.0.x.trellis": ("I16", (16, 8, 64)),
        "model.layers.0.x.suh": ("F16", (256,)),
        "model.layers.0.x.svh": ("F16", (128,)),
        "model.layers.0.x.mcg": ("I32", (1,)),
    }
    facts = detect(write_folder(tmp_path / "d", _with({"quant_method": "exl3", "bits": 4.0}), tiles), "d")
    assert (facts.parameters, facts.format, facts.bits) == (256 * 128, "exl3", 4)
    blocks = {"model.layers.0.x_blocks": ("U8", (4, 64, 2, 16)), "model.layers.0.x_scales": ("U8", (4, 64, 2))}
    facts = detect(write_folder(tmp_path / "c", _with({"quant_method": "mxfp4"}), blocks), "c")
    assert facts.parameters == 4 * 64 * 64
