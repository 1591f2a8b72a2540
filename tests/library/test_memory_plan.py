"""The memory plan, compared with cases calculated by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from loaders.vllm.engine_args import engine_arguments
from loaders.vllm.spec import Settings as VllmSettings
from modules.library.detect import detect
from modules.library.layer_placement import most_fitting_layers
from modules.library.memory_plan import (
    MemoryPlan,
    gguf_shortage,
    largest_fitting,
    memory_demand,
    memory_parts,
    memory_shortage,
    plan_memory,
    plan_sentence,
)
from modules.loading.measured_memory import Measurement, MemoryMeasurements, apply_measurement, measurement_key
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.schema import build
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import YamlStore
from tests.library.writers import gguf_bytes, write_folder
from tests.support.many_layers import write_many_layers
from tests.support.models import write_model_folder

GB, MB = 1 << 30, 1 << 20
SPECS = Registry(Path("loaders")).specs
LOADERS_OF_MODELS = [spec for spec in SPECS.values() if not spec.only_quantizes]
# A Llama with 32 layers of 200 million weights each, and an embedding and a head of 32,000 × 4096.
LAYERS, OTHERS = 6_400_000_000, 2 * 32_000 * 4096
FACTS = ModelFacts(
    "m",
    "/m",
    "safetensors",
    size_bytes=(LAYERS + OTHERS) * 2,
    dtype="F16",
    parameters=LAYERS + OTHERS,
    layer_bytes=LAYERS * 2,
    layer_parameters=LAYERS,
    context=8192,
    layers=32,
    hidden=4096,
    intermediate=11008,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocabulary=32000,
)
GGUF = dataclasses.replace(
    FACTS, format="gguf", dtype="Q8_0", size_bytes=(LAYERS + OTHERS) * 17 // 16, layer_bytes=LAYERS * 17 // 16
)
# What config.json has of that model.
VLLM_CONFIG = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
MACHINE = Machine("linux", "x86_64", 8, 64 * GB, 48 * GB)
CARD = Gpu("cuda", "card", 24 * GB, 20 * GB)


def _plan(loader: str, facts: ModelFacts, machine: Machine = MACHINE, **settings: Any) -> MemoryPlan:
    spec = SPECS[loader]
    return plan_memory(facts, memory_demand(facts, spec, build(spec.settings, settings), machine), machine)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_transformers_keeps_all_weights_in_the_data_type(dtype: str, size: int) -> None:
    (main,) = _plan("transformers", FACTS, dtype=dtype, context=4096).shares
    assert main.weights == (LAYERS + OTHERS) * size
    # The cache grows by a quarter of the text at a time.
    assert main.cache == 32 * 8 * 128 * 2 * (4096 + 1024) * size


def test_auto_is_16_bits_where_the_processor_or_a_card_computes_with_them() -> None:
    assert _plan("transformers", FACTS).shares[0].weights == (LAYERS + OTHERS) * 4
    able = dataclasses.replace(MACHINE, bfloat16=True)
    assert _plan("transformers", FACTS, able).shares[0].weights == (LAYERS + OTHERS) * 2
    with_card = dataclasses.replace(MACHINE, gpus=(CARD,))
    assert [share.weights for share in _plan("transformers", FACTS, with_card).shares] == [0, (LAYERS + OTHERS) * 2]


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ({"quantization": "int8"}, 8),
        ({"quantization": "nf4", "double_quantization": False}, 4.5),
        ({"quantization": "nf4"}, 4 + 8 / 64 + 32 / 64 / 256),
    ],
)
def test_packing_at_load_shrinks_the_layers_and_not_embeddings_and_head(settings: dict[str, Any], bits: float) -> None:
    (main,) = _plan("transformers", FACTS, dtype="bfloat16", **settings).shares
    assert main.weights == pytest.approx(LAYERS * bits / 8 + OTHERS * 2)


def test_hqq_adds_a_scale_and_a_zero_point_a_group() -> None:
    (main,) = _plan("hqq", FACTS, dtype="bfloat16", bits=4, group_size=64).shares
    assert main.weights == LAYERS * (4 + 2 * 16 / 64) / 8 + OTHERS * 2
    (main,) = _plan("hqq", FACTS, dtype="bfloat16", bits=3, group_size=64).shares
    assert main.weights == pytest.approx(LAYERS * (3.2 + 0.5) / 8 + OTHERS * 2)


def test_packed_folders_need_their_size_on_disk() -> None:
    packed = dataclasses.replace(FACTS, format="gptq", size_bytes=4 * GB, layer_bytes=3 * GB)
    (main,) = _plan("gptqmodel", packed, dtype="bfloat16").shares
    assert main.weights == 3 * GB + OTHERS * 2


def test_a_gguf_file_is_counted_as_it_is_by_llama_cpp_and_unpacked_by_transformers() -> None:
    assert _plan("llamacpp", GGUF).shares[0].weights == GGUF.size_bytes
    assert _plan("transformers", GGUF, dtype="bfloat16").shares[0].weights == (LAYERS + OTHERS) * 2


@pytest.mark.parametrize(("kind", "bits"), [("f16", 16), ("q8_0", 8.5), ("q4_0", 4.5), ("f32", 32)])
def test_the_cache_is_layers_by_heads_by_size_by_context_by_the_types_of_keys_and_values(
    kind: str, bits: float
) -> None:
    each = 32 * 8 * 128 * 4096
    (main,) = _plan("llamacpp", GGUF, context=4096, cache_type_k=kind, flash_attention="on").shares
    assert main.cache == each * (bits + 16) / 8
    (main,) = _plan("llamacpp", GGUF, context=4096, cache_type_k=kind, cache_type_v=kind).shares
    assert main.cache == each * 2 * bits / 8


def test_context_0_is_the_models_own_up_to_what_llama_cpp_is_given_then() -> None:
    assert _plan("llamacpp", GGUF).context == 8192
    assert _plan("llamacpp", dataclasses.replace(GGUF, context=2048)).context == 2048
    assert _plan("llamacpp", dataclasses.replace(GGUF, context=131072)).context == 8192


def test_compute_memory_is_that_of_the_widest_layer_of_one_batch() -> None:
    (main,) = _plan("llamacpp", GGUF, context=4096, batch=512, micro_batch=256).shares
    activations = 256 * (2 * 4096 + 3 * 11008) * 4
    assert main.compute == activations + 256 * 4096 * 6 + 32000 * 4


def test_gpu_layers_split_weights_and_cache_and_all_of_them_take_the_head_along() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD,))
    # llama.cpp counts the head as the last layer, and leaves the input embeddings in main memory.
    main, card = _plan("llamacpp", GGUF, machine, context=4096, gpu_layers=9).shares
    head = (GGUF.size_bytes - GGUF.layer_bytes) // 2
    cache = 32 * 8 * 128 * 4096 * 4
    assert (main.weights, card.weights) == (GGUF.layer_bytes * 3 // 4 + head, GGUF.layer_bytes // 4 + head)
    assert (main.cache, card.cache) == (cache * 3 // 4, cache // 4)
    main, card = _plan("llamacpp", GGUF, machine, context=4096, gpu_layers=9, offload_kv=False).shares
    assert (main.cache, card.cache) == (cache, 0)
    main, card = _plan("llamacpp", GGUF, machine, context=4096).shares
    assert (main.weights, card.weights) == (head, GGUF.layer_bytes + head)
    (main,) = _plan("llamacpp", GGUF, machine, gpu_layers=0).shares
    assert main.weights == GGUF.size_bytes
    # A file with one matrix for both has it twice.
    tied = dataclasses.replace(GGUF, parameters=LAYERS + OTHERS // 2, size_bytes=GGUF.size_bytes - head)
    main, card = _plan("llamacpp", tied, machine).shares
    assert (main.weights, card.weights) == (head, GGUF.layer_bytes + head)


@pytest.mark.parametrize("loader", ["llamacpp", "xllamacpp"])
def test_a_draft_model_adds_its_own_weights_and_a_cache_for_its_own_layers(loader: str, tmp_path: Path) -> None:
    draft = write_many_layers(tmp_path / "small.gguf", kv_heads=2)
    machine = dataclasses.replace(MACHINE, gpus=(CARD,))
    settings = {"context": 4096, "gpu_layers": 9, "cache_type_k": "q8_0"}
    bare = _plan(loader, GGUF, machine, **settings)
    planned = _plan(loader, GGUF, machine, **settings, draft_model=str(draft))
    # The server has its own type for it, which is f16.
    bits = 8.5 + 16 if loader == "llamacpp" else 32
    cache = 16 * 2 * 32 * 4096 * bits / 8
    added = [one.cache - other.cache for one, other in zip(planned.shares, bare.shares, strict=True)]
    assert added == [cache / 2, cache / 2]  # eight of its layers
    weights = [sum(share.weights for share in plan.shares) for plan in (planned, bare)]
    assert weights[0] - weights[1] == pytest.approx(draft.stat().st_size, rel=0.1)
    assert planned.gpu_layers == bare.gpu_layers and planned.layers == bare.layers
    # A draft model that is not there is none; the load says so.
    assert _plan(loader, GGUF, machine, **settings, draft_model="gone.gguf") == bare
    demands = [
        memory_demand(
            GGUF, SPECS[loader], build(SPECS[loader].settings, {"context": size, "draft_model": name}), machine
        )
        for size, name in ((2048, str(draft)), (4096, str(draft)), (4096, ""))
    ]
    same, other, without = (measurement_key("m", "e", demand, machine) for demand in demands)
    assert same == other != without


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder with a draft model in 16 bits: 6 layers of 2 KV heads of 64."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (4096, 256),
        "model.layers.0.mlp.up_proj.weight": (512, 256),
    }
    return write_folder(tmp_path / "small", None, {name: ("F16", shape) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("loader", "settings", "tokens", "bits"),
    [
        ("transformers", {"dtype": "float32"}, 4096 + 1024, 32),
        ("transformers", {"dtype": "float16"}, 4096 + 1024, 16),
        ("exllamav2", {}, 4096, 16),
        ("exllamav2", {"cache_type": "q4", "cache_tokens": 16384}, 16384, 4.5),
        ("exllamav2", {"cache_tokens": 1024}, 4096, 16),
        ("exllamav3", {"cache_type": "q8", "cache_type_v": "q4"}, 4096, (8.5 + 4.5) / 2),
        ("vllm", {"cache_gb": 4}, 0, 0),
        ("vllm", {}, 0, 0),
    ],
)
def test_a_draft_folder_adds_a_cache_of_its_own_layers(
    loader: str, settings: dict[str, Any], tokens: int, bits: float, small: Path
) -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD,))
    bare = _plan(loader, FACTS, machine, context=4096, **settings)
    planned = _plan(loader, FACTS, machine, context=4096, **settings, draft_model=str(small))
    added = [
        [getattr(one, part) - getattr(other, part) for one, other in zip(planned.shares, bare.shares, strict=True)]
        for part in ("weights", "cache", "process")
    ]
    size = (4096 + 512) * 256 * (4 if settings.get("dtype") == "float32" else 2)
    # On cards vLLM fills its share, of which the draft's weights take a part.
    filled = loader == "vllm" and not settings
    cache = -size if filled else 6 * 2 * 64 * tokens * 2 * bits / 8
    # The header of the file counts.
    assert added == [pytest.approx([0, size], abs=300), pytest.approx([0, cache], abs=300), [0, 0]]


def test_a_draft_model_lies_on_the_card_of_the_models_input(small: Path) -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD, dataclasses.replace(CARD, name="two")))
    settings = {"dtype": "float16", "gpu_memory": "10,10"}
    bare = _plan("transformers", FACTS, machine, **settings)
    planned = _plan("transformers", FACTS, machine, **settings, draft_model=str(small))
    grown = [one.total > other.total for one, other in zip(planned.shares, bare.shares, strict=True)]
    assert grown[1:] == [True, False]


def test_vllms_cache_on_a_cpu_has_room_for_both_models(small: Path) -> None:
    bare = _plan("vllm", FACTS, context=4096)
    planned = _plan("vllm", FACTS, context=4096, draft_model=str(small))
    assert planned.shares[0].cache - bare.shares[0].cache == 6 * 2 * 64 * 2 * 4096 * 2 * 2
    asked = engine_arguments(Path("/m"), VllmSettings(draft_model=str(small)), VLLM_CONFIG, 4096, cpu=True)
    assert asked["kv_cache_memory_bytes"] == planned.shares[0].cache


def test_a_packed_draft_model_stays_as_it_is(small: Path) -> None:
    config = small / "config.json"
    packing = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": packing}))
    bare, planned = (_plan("transformers", FACTS, dtype="float32", draft_model=name) for name in ("", str(small)))
    assert planned.shares[0].weights - bare.shares[0].weights == pytest.approx((4096 + 512) * 256 * 2, abs=300)


def test_other_loaders_take_all_weights_to_the_card() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD,))
    main, card = _plan("transformers", FACTS, machine, dtype="float16").shares
    assert (main.weights, card.weights) == (0, (LAYERS + OTHERS) * 2)


def test_several_cards_share_by_setting_or_by_free_memory() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD, dataclasses.replace(CARD, name="two", free_bytes=10 * GB)))
    layer, head = GGUF.layer_bytes / 32, (GGUF.size_bytes - GGUF.layer_bytes) // 2
    _, one, two = _plan("llamacpp", GGUF, machine, gpu_layers=32, tensor_split="3,1").shares
    assert [one.weights, two.weights] == pytest.approx([24 * layer, 7 * layer + head])
    _, one, two = _plan("llamacpp", GGUF, machine, gpu_layers=30).shares
    assert [one.weights, two.weights] == pytest.approx([20 * layer, 9 * layer + head])
    _, only = _plan("llamacpp", GGUF, machine, gpu_layers=31, tensor_split="0,1").shares
    assert only.device == "two"
    _, only = _plan("llamacpp", GGUF, machine, split_mode="none", main_gpu=1).shares
    assert (only.device, only.weights) == ("two", GGUF.layer_bytes + head)


def test_experts_may_stay_in_main_memory() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD,))
    experts = GGUF.layer_bytes * 3 // 4
    mixture = dataclasses.replace(GGUF, expert_bytes=experts)
    embeddings = (GGUF.size_bytes - GGUF.layer_bytes) // 2
    main, card = _plan("llamacpp", mixture, machine, cpu_moe=True).shares
    assert (main.weights, main.weights + card.weights) == (embeddings + experts, GGUF.size_bytes)
    main, card = _plan("llamacpp", mixture, machine, n_cpu_moe=8).shares
    assert (main.weights, main.weights + card.weights) == (embeddings + experts // 4, GGUF.size_bytes)
    # The head and the last 28 layers are on the card. Of the first 8, four are.
    main, card = _plan("llamacpp", mixture, machine, gpu_layers=29, n_cpu_moe=8).shares
    assert main.weights == GGUF.layer_bytes // 8 + experts // 8 + embeddings
    assert main.weights + card.weights == GGUF.size_bytes
    main, _ = _plan("llamacpp", GGUF, machine, cpu_moe=True).shares
    assert main.weights == embeddings


def test_a_macs_gpu_shares_the_main_memory() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(Gpu("metal", "Apple silicon", 64 * GB, 48 * GB),))
    (main,) = _plan("llamacpp", GGUF, machine).shares
    assert main.weights == GGUF.size_bytes


def test_a_remote_model_needs_only_the_workers_memory() -> None:
    (main,) = _plan("remote", ModelFacts("m", "/m", "remote", context=8192)).shares
    assert (main.weights, main.cache, main.compute) == (0, 0, 0)
    assert main.total < 100 * MB


@pytest.mark.parametrize("spec", LOADERS_OF_MODELS, ids=[spec.name for spec in LOADERS_OF_MODELS])
def test_every_loader_has_a_plan_for_an_unknown_model(spec: LoaderSpec) -> None:
    for machine in (MACHINE, dataclasses.replace(MACHINE, gpus=(CARD, CARD))):
        settings = spec.settings()
        found = plan_memory(
            ModelFacts("m", "/m", spec.formats[0]), memory_demand(FACTS, spec, settings, machine), machine
        )
        assert found.total > 0
        assert all(size >= 0 for share in found.shares for _, size in memory_parts(share, found))


def test_a_loader_without_memory_demand_is_planned_by_its_context() -> None:
    spec = dataclasses.replace(SPECS["echo"], memory=None)
    found = plan_memory(GGUF, memory_demand(GGUF, spec, build(spec.settings, {"context": 1024}), MACHINE), MACHINE)
    assert (found.context, found.shares[0].weights) == (1024, GGUF.size_bytes)
    assert found.shares[0].cache == 32 * 8 * 128 * 2 * 1024 * 2


def test_headers_distinguish_layers_from_other_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    # F16 is type 1, Q4_K type 12.
    path.write_bytes(gguf_bytes(tensors=[("token_embd.weight", (256, 4), 1), ("blk.0.ffn_up.weight", (256, 8), 12)]))
    facts = detect(path, "m.gguf")
    assert (facts.layer_parameters, facts.layer_bytes) == (2048, 2048 // 256 * 144)
    assert facts.parameters == 2048 + 1024
    mixture = [("blk.0.ffn_gate_exps.weight", (256, 8, 4), 12), ("blk.0.ffn_gate_inp.weight", (256, 4), 1)]
    path.write_bytes(gguf_bytes(tensors=mixture))
    assert detect(path, "m.gguf").expert_bytes == 8192 // 256 * 144
    facts = detect(write_model_folder(tmp_path / "folder"), "folder")
    assert (facts.parameters, facts.layer_parameters) == (128, 0)


def test_a_plan_that_does_not_fit_has_a_next_step() -> None:
    roomy = _plan("llamacpp", GGUF)
    assert roomy.fits
    assert memory_shortage(roomy) == ""
    tight = _plan("llamacpp", GGUF, dataclasses.replace(MACHINE, free_bytes=GGUF.size_bytes))
    assert not tight.fits
    assert "Choose a smaller model" in memory_shortage(tight)
    assert "Lower Context length to 512" in memory_shortage(tight, context=512)
    assert "Lower GPU layers to 3." in memory_shortage(tight, gpu_layers=3)


def test_the_sentence_names_every_part() -> None:
    words = plan_sentence(_plan("llamacpp", GGUF, context=4096))
    for part in ("main memory", "weights 7.1 GB", "context of 4,096 tokens 537 MB", "compute", "environment"):
        assert part in words


@pytest.mark.parametrize(("limit", "found"), [(0, 0), (255, 0), (256, 256), (999, 768), (1000, 1000), (5000, 1000)])
def test_the_largest_that_fits_is_found(limit: int, found: int) -> None:
    assert largest_fitting(1000, lambda value: value <= limit, 256) == found


@pytest.mark.parametrize(
    ("free", "main", "settings", "fitting"),
    [
        # Without layers on the card the model does not fit into main memory, and with all of them not onto the card.
        ((6.0,), 2.0, {}, 27),
        # The small card is full before the large one is.
        ((6.0, 1.0), 2.0, {}, 27),
        ((12.0, 3.0), 2.0, {"tensor_split": "1,1", "offload_kv": False}, 27),
        ((12.0, 0.2), 48.0, {}, 33),
        ((0.1, 0.2), 48.0, {}, 0),
    ],
)
def test_the_most_layers_that_fit_onto_unlike_cards_are_found(
    free: tuple[float, ...], main: float, settings: dict[str, Any], fitting: int
) -> None:
    cards = tuple(dataclasses.replace(CARD, name=f"card {size}", free_bytes=int(size * GB)) for size in free)
    machine = dataclasses.replace(MACHINE, gpus=cards, free_bytes=int(main * GB))

    def fits(layers: int) -> bool:
        return _plan("llamacpp", GGUF, machine, context=2048, gpu_layers=layers, **settings).fits

    assert (
        most_fitting_layers(33, fits) == max((layers for layers in range(1, 34) if fits(layers)), default=0) == fitting
    )


def test_a_file_that_is_not_downloaded_is_judged_by_its_size() -> None:
    assert gguf_shortage(40 * GB, MACHINE) == ""
    assert "Choose a smaller model" in gguf_shortage(50 * GB, MACHINE)
    assert gguf_shortage(50 * GB, dataclasses.replace(MACHINE, gpus=(CARD,))) == ""


def test_a_measured_load_shifts_every_plan_of_its_class_and_its_peak_is_a_floor() -> None:
    small, large = _plan("llamacpp", GGUF, context=1024), _plan("llamacpp", GGUF, context=8192)
    seen = Measurement(loaded=small.at_load + 100, peak=small.total + 500, context=1024, expected=small.at_load)
    assert apply_measurement(small, seen).total == small.total + 500
    assert apply_measurement(large, seen).total == large.total + 100
    assert apply_measurement(large, seen).measured
    assert not large.measured
    less = dataclasses.replace(seen, loaded=small.at_load - 5 * MB, peak=small.total - 9 * MB)
    assert apply_measurement(large, less).total == large.total - 5 * MB


def test_measured_memory_of_cards_corrects_their_shares() -> None:
    machine = dataclasses.replace(MACHINE, gpus=(CARD, dataclasses.replace(CARD, name="two")))
    small, large = (_plan("llamacpp", GGUF, machine, context=context) for context in (1024, 8192))
    planned = sum(share.total for share in small.shares[1:])
    seen = Measurement(small.at_load, 0, 1024, small.at_load, False, planned + 100 * MB, planned + 300 * MB, planned)
    for plan, more in ((small, 150 * MB), (large, 50 * MB)):
        pairs = zip(plan.shares[1:], apply_measurement(plan, seen).shares[1:], strict=True)
        assert [after.total - before.total for before, after in pairs] == [more, more]
    unknown = dataclasses.replace(seen, card_loaded=0)
    assert apply_measurement(small, unknown).shares[1:] == small.shares[1:]


def test_measurements_are_kept_and_the_highest_peak_of_a_context_stays(tmp_path: Path) -> None:
    path = tmp_path / "measured.yaml"
    measured = MemoryMeasurements(YamlStore(path))
    measured.record("key", Measurement(10, 30, 1024, 5), "m", "llamacpp")
    measured.record("key", Measurement(11, 20, 1024, 5), "m", "llamacpp")
    assert MemoryMeasurements(YamlStore(path)).find("key") == Measurement(11, 30, 1024, 5)
    measured.record("key", Measurement(12, 15, 512, 5), "m", "llamacpp")
    assert measured.find("key") == Measurement(12, 15, 512, 5)
    assert measured.find("other") is None


def test_an_invalid_entry_is_not_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "measured.yaml"
    path.write_text("key: {loaded: much}\nother: 7\n")
    measured = MemoryMeasurements(YamlStore(path))
    assert measured.find("key") is None
    assert measured.find("other") is None
    measured.record("third", Measurement(1, 2, 3, 4), "m", "echo")
    assert measured.find("third") == Measurement(1, 2, 3, 4)
    # As an older version wrote it.
    path.write_text("key: {loaded: 1, peak: 2, context: 3, expected: 4, on_cpu: false}\n")
    assert MemoryMeasurements(YamlStore(path)).find("key") == Measurement(1, 2, 3, 4)


def test_a_class_is_of_files_environment_settings_and_devices_but_not_of_the_context() -> None:
    demand = Demand(context=1024)
    key = measurement_key("m 1", "env", demand, MACHINE)
    assert key == measurement_key("m 1", "env", dataclasses.replace(demand, context=2048), MACHINE)
    others = {
        measurement_key("m 2", "env", demand, MACHINE),
        measurement_key("m 1", "env 2", demand, MACHINE),
        measurement_key("m 1", "env", dataclasses.replace(demand, cache_bits=(8.5, 8.5)), MACHINE),
        measurement_key("m 1", "env", demand, dataclasses.replace(MACHINE, gpus=(CARD,))),
    }
    assert key not in others
    assert len(others) == 4
