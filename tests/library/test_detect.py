"""The detected format of a folder or file, its evidence, and the message if it is not a model."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modules.library.detect import detect
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts
from tests.library.writers import (
    LLAMA_CONFIG,
    LLAMA_METADATA,
    gguf_bytes,
    safetensors_bytes,
    write_folder,
    write_json,
)

Tensors = dict[str, tuple[str, tuple[int, ...]]]

# One linear layer with 256 inputs and 512 outputs, in 4 bits and groups of 128, packed by each method.
NORM: Tensors = {"model.norm.weight": ("F16", (256,))}
GPTQ: Tensors = {
    **NORM,
    "l.qweight": ("I32", (32, 512)),
    "l.qzeros": ("I32", (2, 64)),
    "l.scales": ("F16", (2, 512)),
    "l.g_idx": ("I32", (256,)),
}
# One group per row.
ROWS: Tensors = {**GPTQ, "l.qzeros": ("I32", (1, 64)), "l.scales": ("F16", (1, 512))}
AWQ: Tensors = {
    **NORM,
    "l.qweight": ("I32", (256, 64)),
    "l.qzeros": ("I32", (2, 64)),
    "l.scales": ("F16", (2, 512)),
}
EXL2: Tensors = {
    **NORM,
    "l.q_weight": ("I32", (34, 512)),
    "l.q_scale": ("I32", (2, 64)),
    "l.q_scale_max": ("F16", (2,)),
    "l.q_groups": ("I16", (4,)),
    "l.q_invperm": ("I16", (256,)),
}
NF4: Tensors = {
    **NORM,
    "l.weight": ("U8", (65536, 1)),
    "l.weight.absmax": ("U8", (2048,)),
    "l.weight.nested_absmax": ("F32", (8,)),
    "l.weight.quant_map": ("F32", (16,)),
    "l.weight.nested_quant_map": ("F32", (256,)),
    "l.weight.quant_state.bitsandbytes__nf4": ("U8", (100,)),
}
INT8: Tensors = {**NORM, "l.weight": ("I8", (512, 256)), "l.SCB": ("F32", (512,)), "l.weight_format": ("U8", ())}
HQQ: Tensors = {**NORM, "l.W_q": ("U8", (32, 2048)), "l.scale": ("F16", (1, 1024)), "l.zero": ("F16", (1, 1024))}
WEIGHTS = 256 + 256 * 512


def _with(quantization: dict[str, Any]) -> dict[str, Any]:
    return {**LLAMA_CONFIG, "quantization_config": quantization}


def _sources(facts: ModelFacts, fact: str) -> dict[str, str]:
    return {item.source: item.value for item in facts.evidence if item.fact == fact}


def test_a_full_precision_folder_is_detected(tmp_path: Path) -> None:
    facts = detect(write_folder(tmp_path / "m"), "m")
    assert (facts.format, facts.dtype, facts.architecture) == ("safetensors", "F16", "LlamaForCausalLM")
    assert (facts.parameters, facts.context, facts.bits) == (4096 * 256, 2048, 16)
    assert (facts.layers, facts.hidden, facts.heads, facts.kv_heads, facts.head_dim) == (6, 256, 4, 2, 64)
    assert (facts.vocabulary, facts.template) == (4096, "tokenizer_config.json")
    assert facts.size_bytes == (tmp_path / "m" / "model.safetensors").stat().st_size
    assert (facts.problems, facts.warnings) == ((), ())


def test_every_fact_has_its_evidence(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes())
    for path in (write_folder(tmp_path / "m"), tmp_path / "m.gguf"):
        facts = detect(path, "m")
        named = {item.fact for item in facts.evidence}
        skipped = {"name", "path", "evidence", "problems", "warnings"}
        assert {name for name, value in vars(facts).items() if value and name not in skipped} <= named
        assert all(item.value and item.source for item in facts.evidence)


QUANTIZED: dict[str, tuple[dict[str, Any], Tensors, str, float, int, bool | None]] = {
    "gptq": (
        _with({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True}),
        GPTQ,
        "gptq",
        4,
        128,
        True,
    ),
    "gptq by rows": (_with({"quant_method": "gptq", "bits": 4, "group_size": -1}), ROWS, "gptq", 4, -1, None),
    "gptq by rows, not declared": (LLAMA_CONFIG, ROWS, "gptq", 4, -1, None),
    "gptq, not declared": (LLAMA_CONFIG, GPTQ, "gptq", 4, 128, None),
    "awq": (_with({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}), AWQ, "awq", 4, 128, None),
    "awq, not declared": (LLAMA_CONFIG, AWQ, "awq", 4, 128, None),
    "exl2": (_with({"quant_method": "exl2", "bits": 4.25, "head_bits": 6}), EXL2, "exl2", 4.25, 0, None),
    "exl2, not declared": (LLAMA_CONFIG, EXL2, "exl2", 0, 0, None),
    "nf4": (
        _with({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
        NF4,
        "bitsandbytes",
        4,
        0,
        None,
    ),
    "nf4, not declared": (LLAMA_CONFIG, NF4, "bitsandbytes", 4, 0, None),
    "int8": (_with({"load_in_8bit": True}), INT8, "bitsandbytes", 8, 0, None),
    "hqq": (
        _with({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}),
        HQQ,
        "hqq",
        4,
        64,
        None,
    ),
}


@pytest.mark.parametrize("case", QUANTIZED)
def test_a_quantized_folder_is_detected_with_its_true_parameter_count(tmp_path: Path, case: str) -> None:
    config, tensors, method, bits, group, act_order = QUANTIZED[case]
    facts = detect(write_folder(tmp_path / "m", config, tensors), "m")
    assert (facts.format, facts.bits, facts.group_size, facts.act_order) == (method, bits, group, act_order)
    assert facts.parameters == WEIGHTS
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("file", "values", "tensors", "method"),
    [
        ("quantize_config.json", {"bits": 4, "group_size": 128, "desc_act": False}, GPTQ, "gptq"),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 128, "zero_point": True}, AWQ, "awq"),
    ],
)
def test_files_of_early_quantizers_beside_config_json_are_read(
    tmp_path: Path, file: str, values: dict[str, Any], tensors: Tensors, method: str
) -> None:
    folder = write_folder(tmp_path / "m", None, tensors)
    write_json(folder / file, values)
    facts = detect(folder, "m")
    assert (facts.format, facts.bits, facts.group_size) == (method, 4, 128)
    assert _sources(facts, "bits") == {file: "4"}


def test_config_json_takes_precedence_and_differences_are_shown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", _with({"quant_method": "gptq", "bits": 4, "group_size": 128}), GPTQ)
    write_json(folder / "quantize_config.json", {"bits": 8, "group_size": 128})
    facts = detect(folder, "m")
    assert facts.bits == 4
    assert _sources(facts, "bits") == {"config.json: quantization_config": "4", "quantize_config.json": "8"}


def test_a_folder_that_claims_gptq_with_awq_tensors_has_a_problem(tmp_path: Path) -> None:
    facts = detect(write_folder(tmp_path / "m", _with({"quant_method": "gptq", "bits": 4}), AWQ), "m")
    assert facts.problems and "says GPTQ, but the tensors are packed as AWQ" in facts.problems[0]


def test_bits_that_the_tensors_contradict_give_a_warning(tmp_path: Path) -> None:
    facts = detect(write_folder(tmp_path / "m", _with({"quant_method": "gptq", "bits": 8}), GPTQ), "m")
    assert any("says 8 bits, but the tensors' shapes say 4" in warning for warning in facts.warnings)


def test_a_vision_model_has_its_shape_in_text_config(tmp_path: Path) -> None:
    config = {"architectures": ["GemmaX"], "text_config": {**LLAMA_CONFIG, "head_dim": 128}}
    facts = detect(write_folder(tmp_path / "m", config), "m")
    assert (facts.architecture, facts.layers, facts.head_dim, facts.context) == ("GemmaX", 6, 128, 2048)
    assert _sources(facts, "layers") == {"config.json: text_config: num_hidden_layers": "6"}


NONSENSE: list[Any] = [None, True, -1, 0, "4", 1e300, 10**30, 2.5, [4], {"a": 1}]


@pytest.mark.parametrize("value", NONSENSE)
def test_values_of_wrong_types_in_config_json_are_ignored(tmp_path: Path, value: Any) -> None:
    config = dict.fromkeys([*LLAMA_CONFIG, "quantization_config", "text_config", "auto_map", "head_dim"], value)
    facts = detect(write_folder(tmp_path / "m", config), "m")
    assert (facts.layers, facts.heads, facts.context, facts.vocabulary) == (0, 0, 0, 0)


BROKEN: dict[str, tuple[str, bytes | None, str]] = {
    "no config": ("config.json", None, "holds model.safetensors but no config.json"),
    "config that is no JSON": ("config.json", b"<html>", "config.json is not valid JSON"),
    "config that is a list": ("config.json", b"[]", "config.json must be a JSON object"),
    "config nested without end": ("config.json", b"[" * 500_000, "config.json is not valid JSON"),
    "config with a number of a million digits": ("config.json", b'{"vocab_size": ' + b"9" * 10**6, "not valid JSON"),
    "no weights": ("model.safetensors", None, "no weights"),
    "no tokenizer": ("tokenizer.json", None, ""),
    "a lost shard": (
        "model.safetensors.index.json",
        b'{"weight_map": {"a": "x-00002-of-00002.safetensors"}}',
        "missing: x-",
    ),
    "an index that leads out": ("model.safetensors.index.json", b'{"weight_map": {"a": "../x"}}', "outside the folder"),
    "weights cut short": ("model.safetensors", safetensors_bytes({"a": ("F16", (64,))})[:-3], "cut short"),
    "weights that are a page": ("model.safetensors", b"<!DOCTYPE html><html></html>", "model.safetensors"),
    "a running download": ("model-2.safetensors.part", b"", "unfinished files: model-2.safetensors.part"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_has_a_problem_that_says_what_is_wrong(tmp_path: Path, case: str) -> None:
    file, content, sentence = BROKEN[case]
    folder = write_folder(tmp_path / "m")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    facts = detect(folder, "m")
    assert any(sentence in problem for problem in facts.problems) or not sentence
    assert all(problem.endswith(".") for problem in facts.problems)


def test_a_folder_without_any_tokenizer_has_a_problem(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    facts = detect(folder, "m")
    assert "no tokenizer" in facts.problems[0]
    assert "no chat template" in facts.warnings[0]


def test_a_missing_shard_is_noticed_without_an_index(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert "missing: model-00002-of-00002.safetensors" in detect(folder, "m").problems[0]


def test_shards_are_counted_together(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for number in (1, 2):
        raw = safetensors_bytes({f"t{number}": ("BF16", (10, 10))})
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(raw)
    facts = detect(folder, "m")
    assert (facts.parameters, facts.size_bytes, facts.problems) == (200, 2 * len(raw), ())


WIDE: Tensors = {"model.layers.1.input_layernorm.weight": ("F16", (256,))}
INDEX = {"t1": "model-00001-of-00002.safetensors", "t2": "model-00002-of-00002.safetensors"}
MIXED: dict[str, tuple[Tensors, Tensors, dict[str, str], str]] = {
    "a tensor twice": ({"t1": ("F16", (4,))}, {"t1": ("F16", (4,))}, {}, "hold the tensor t1"),
    "another width": (WIDE, {"model.layers.2.input_layernorm.weight": ("F16", (512,))}, {}, "has 512 numbers, not 256"),
    "not as the index says": ({"t1": ("F16", (4,))}, {"t9": ("F16", (4,))}, INDEX, "holds t2, which it does not"),
}


@pytest.mark.parametrize("case", MIXED)
def test_shards_of_different_models_in_one_folder_are_a_problem(tmp_path: Path, case: str) -> None:
    first, second, index, sentence = MIXED[case]
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for number, tensors in enumerate((first, second), 1):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(safetensors_bytes(tensors))
    if index:
        write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    (problem,) = detect(folder, "m").problems
    assert sentence in problem and "download the folder again" in problem


def test_pickles_give_a_warning_and_their_parameters_are_estimated(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bytes(2000))
    (folder / "training_args.bin").write_bytes(bytes(10))
    facts = detect(folder, "m")
    assert (facts.format, facts.parameters, facts.size_bytes, facts.problems) == ("pickle", 1000, 2000, ())
    assert "pickles (pytorch_model.bin)" in facts.warnings[0]
    assert any("estimated" in source for source in _sources(facts, "parameters"))


def _hqq_save(path: Path, layers: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("qmodel/data.pkl", pickle.dumps(layers, protocol=2))


def _tensor(elements: int) -> tuple[Any, ...]:
    """Return a pickled tensor as torch writes it: the storage and its elements, then offset, shape and strides."""
    return (("storage", "0", "cpu", elements), 0, (elements,), (1,))


def test_an_hqq_save_gives_bits_groups_and_parameters_without_running_code(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    packed = {"W_q": _tensor(32), "nbits": 4, "group_size": 64, "shape": (8, 8), "scale": _tensor(2)}
    layers = {"embed": {"weight": _tensor(100)}, "a": packed, "b": {**packed, "shape": (8, 16)}}
    _hqq_save(folder / "qmodel.pt", {**layers, "trap": _Trap(tmp_path / "trap")})
    facts = detect(folder, "m")
    assert (facts.format, facts.bits, facts.group_size, facts.problems) == ("hqq", 4, 64, ())
    assert facts.parameters == 100 + 64 + 128
    assert not (tmp_path / "trap").exists()


class _Trap:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("kept", [0, 10, 150])
def test_an_hqq_save_that_is_cut_short_has_a_problem(tmp_path: Path, kept: int) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    _hqq_save(folder / "qmodel.pt", {"a": {"nbits": 4}})
    (folder / "qmodel.pt").write_bytes((folder / "qmodel.pt").read_bytes()[:kept])
    assert "qmodel.pt is cut short" in detect(folder, "m").problems[0]


def test_safetensors_are_preferred_to_pickles(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "pytorch_model.bin").write_bytes(bytes(10))
    assert detect(folder, "m").format == "safetensors"


def test_an_adapter_is_distinguished_from_a_model(tmp_path: Path) -> None:
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": "the/base"})
    (tmp_path / "adapter_model.safetensors").write_bytes(safetensors_bytes({"a": ("F16", (4,))}))
    assert "LoRA adapter for the/base" in detect(tmp_path, "m").problems[0]


def test_a_gguf_file_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes())
    facts = detect(path, "m.gguf")
    assert (facts.format, facts.dtype, facts.architecture, facts.path) == ("gguf", "Q8_0", "llama", str(path))
    assert (facts.context, facts.layers, facts.hidden, facts.heads, facts.kv_heads, facts.head_dim) == (
        2048,
        6,
        256,
        4,
        2,
        64,
    )
    assert (facts.parameters, facts.vocabulary, facts.template) == (256 * 4 * 2 + 256, 4, "GGUF metadata")
    assert (facts.problems, facts.warnings) == ((), ())


def test_a_folder_with_one_gguf_is_that_gguf(tmp_path: Path) -> None:
    (tmp_path / "a.Q8_0.gguf").write_bytes(gguf_bytes())
    (tmp_path / "mmproj-a.gguf").write_bytes(b"")
    (tmp_path / "README.md").write_text("hello")
    facts = detect(tmp_path, "m")
    assert (facts.format, facts.path, facts.problems) == ("gguf", str(tmp_path / "a.Q8_0.gguf"), ())


def test_a_folder_with_several_ggufs_needs_a_choice(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(gguf_bytes())
    assert "Choose one: m/a.gguf, m/b.gguf." in detect(tmp_path, "m").problems[0]


def test_a_split_gguf_counts_all_parts_and_names_a_missing_one(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    parts[0].write_bytes(gguf_bytes(LLAMA_METADATA, [("a", (32,), 0)]))
    parts[1].write_bytes(gguf_bytes({"split.no": 1}, [("b", (64,), 0)]))
    parts[2].write_bytes(gguf_bytes({"split.no": 2}, [("c", (128,), 0)]))
    facts = detect(tmp_path, "m")
    assert (facts.path, facts.parameters, facts.problems) == (str(parts[0]), 224, ())
    assert facts.size_bytes == sum(part.stat().st_size for part in parts)
    parts[1].unlink()
    assert "missing: m-00002-of-00003.gguf" in detect(tmp_path, "m").problems[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"general.type": "adapter"}, "LoRA adapter"),
        ({"general.architecture": "clip"}, "projector"),
        ({"tokenizer.ggml.tokens": 3}, "no vocabulary"),
        ({"general.architecture": ""}, "architecture"),
    ],
)
def test_a_gguf_that_is_not_a_model_is_named_by_kind(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes({**LLAMA_METADATA, **changes}))
    assert sentence in detect(path, "m").problems[0]


def test_a_gguf_without_a_file_type_gets_it_from_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.Q4_K_M.gguf"
    path.write_bytes(gguf_bytes({key: value for key, value in LLAMA_METADATA.items() if key != "general.file_type"}))
    facts = detect(path, "m")
    assert facts.dtype == "Q8_0"
    assert "Q4_K_M" in _sources(facts, "dtype").values()


def test_a_single_file_of_another_kind_has_a_next_step(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"a": ("F16", (4,))}))
    assert "whole folder" in detect(path, "m").problems[0]


def test_a_path_without_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at m"):
        detect(tmp_path / "m", "m")


@pytest.mark.parametrize(
    "key, value", [("num_hidden_layers", "six"), ("hidden_size", -4), ("num_attention_heads", 0), ("n_layer", 0.0)]
)
def test_an_impossible_size_is_named_before_a_load(tmp_path: Path, key: str, value: Any) -> None:
    (problem,) = detect(write_folder(tmp_path / "m", {**LLAMA_CONFIG, key: value}), "m").problems
    assert problem.startswith(f"config.json says '{value}' for {key}, which must be")


@pytest.mark.parametrize(
    "files",
    [
        ("consolidated.safetensors",),
        ("anything.safetensors",),
        ("weights.fp16.SAFETENSORS",),
        ("x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors"),
        ("first.safetensors", "second.safetensors"),
    ],
)
def test_weights_with_other_file_names_are_named(tmp_path: Path, files: tuple[str, ...]) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for number, file in enumerate(files):
        name = f"model.layers.{number}.x.weight" if number else "model.embed_tokens.weight"
        (folder / file).write_bytes(safetensors_bytes({name: ("F16", (4096, 256))}))
    facts = detect(folder, "m")
    assert facts.problems == ()
    assert facts.size_bytes == sum((folder / file).stat().st_size for file in files)
    assert _sources(facts, "weights") == {"file names, read as model.safetensors": ", ".join(files)}


def test_a_consolidated_file_beside_shards_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "consolidated.safetensors").write_bytes(safetensors_bytes({"tok_embeddings.weight": ("F16", (4, 4))}))
    facts = detect(folder, "m")
    assert facts.problems == ()
    assert "model-00001-of-00001.safetensors" in _sources(facts, "weights").values()


def test_weights_in_the_authors_own_format_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", None, {"layers.0.attention.wq.weight": ("F16", (4, 4))})
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    assert "names of the original release (layers.0.attention.wq.weight)" in detect(folder, "m").problems[0]
