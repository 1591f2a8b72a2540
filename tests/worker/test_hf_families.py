"""State-space models, and the text part of vision models: real architectures, tiny, with random weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="runs in the environment of a Transformers loader")
pytest.importorskip("transformers")

from loaders.transformers.spec import Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from modules.protocol.commands import Generate  # noqa: E402
from modules.protocol.errors import ModelError  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.worker.hf.auto_class import text_only_note  # noqa: E402
from modules.worker.hf.image_processor import IMAGES  # noqa: E402
from tests.worker.hf_tiny import byte_level, wrapped, write_model  # noqa: E402

_TOKENS = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
_TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    **_TOKENS,
}
_IMAGES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
_ROPE = {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}}
_STATES: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "mamba2": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 16,
        "n_groups": 1,
        "chunk_size": 16,
    },
    "falcon_mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "rwkv": {"hidden_size": 64, "attention_hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    "bamba": {
        **_TEXT,
        "initializer_range": 0.02,
        "attn_layer_indices": [1],
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
        "mamba_d_state": 8,
    },
}
_STATES |= {
    "jamba": {
        **_TEXT,
        "initializer_range": 0.02,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
    },
    "lfm2": {**_TEXT, "layer_types": ["conv", "full_attention"]},
    "qwen3_next": {
        **_TEXT,
        "head_dim": 16,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "recurrent_gemma": {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "lru_width": 64,
        "attention_window_size": 64,
    },
}
_SEEING: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "clip_vision_model", "projection_dim": 32, **_IMAGES},
        "image_token_index": 399,
    },
    "qwen2_vl": {
        "text_config": {**_TEXT, **_ROPE},
        "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
    },
    "qwen2_5_vl": {
        "text_config": {**_TEXT, **_ROPE},
        "vision_config": {
            "depth": 1,
            "hidden_size": 32,
            "out_hidden_size": 64,
            "num_heads": 2,
            "intermediate_size": 64,
        },
    },
    "smolvlm": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": _IMAGES,
        "scale_factor": 1,
        "image_token_id": 399,
    },
    "mistral3": {
        "text_config": {"model_type": "mistral", "head_dim": 16, **_TEXT},
        "vision_config": {"model_type": "pixtral", "head_dim": 16, **_IMAGES},
        "image_token_index": 399,
    },
    "internvl": {
        "text_config": {"model_type": "qwen2", **_TEXT},
        "vision_config": {**_IMAGES, "image_size": [32, 32], "patch_size": [16, 16]},
        "image_token_id": 399,
    },
}


def _write(folder: Path, kind: str, values: dict[str, Any]) -> Path:
    """Write a model of the architecture `kind` with random weights, and return its folder."""
    from transformers import AutoConfig

    from modules.worker.hf.auto_class import text_class

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **values)
    text_class(config).from_config(config, dtype=torch.float32).save_pretrained(folder)
    wrapped(byte_level()).save_pretrained(folder)
    return folder


def _load(folder: Path, **settings: Any) -> tuple[Engine, Any]:
    engine = Engine()
    info = engine.load(folder, Settings(device_map="cpu", dtype="float32", **settings), lambda text, fraction: None)
    return engine, info


def _greedy(engine: Engine, prompt: str, count: int) -> tuple[list[int], int]:
    """Return (the tokens of prompt and reply that were read, the tokens of the prompt)."""
    params = SamplingParams(max_new_tokens=count, do_sample=False, ban_eos_token=True)
    pieces = engine.generate(Generate("1", prompt, params), threading.Event())
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return list(engine._cache.tokens), end.value.prompt_tokens


def _without_state(engine: Engine, tokens: list[int], count: int) -> list[int]:
    """Return the same reply, computed without a cache."""
    tokens = list(tokens)
    with torch.inference_mode():
        for _ in range(count):
            logits = engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].float()
            logits[list(engine._vocabulary.ends)] = -torch.inf
            tokens.append(int(logits.argmax()))
    return tokens


def _same_as_without_state(engine: Engine) -> None:
    first = "The quick brown fox jumps over the lazy dog, "
    for prompt in (first, f"{first}and the dog does not mind at all.", "Local models run", first):
        tokens, length = _greedy(engine, prompt, 8)
        assert len(tokens) == length + 7
        assert tokens == _without_state(engine, tokens[:length], 7), prompt


@pytest.mark.parametrize("kind", _STATES)
def test_a_state_space_model_gives_the_same_text_without_its_state(kind: str, tmp_path: Path) -> None:
    engine, info = _load(_write(tmp_path / kind, kind, {**_TOKENS, **_STATES[kind]}), prefill=8)
    assert info.notes == []
    _same_as_without_state(engine)


@pytest.mark.parametrize("kind", _SEEING)
def test_only_the_text_part_of_a_vision_model_is_loaded(kind: str, tmp_path: Path) -> None:
    engine, info = _load(_write(tmp_path / kind, kind, _SEEING[kind]), images=False)
    assert info.notes == [text_only_note(IMAGES)]
    towers = [name for name, _ in engine.model.named_parameters() if "vision" in name or "visual" in name]
    assert towers == []
    _same_as_without_state(engine)


def test_a_model_without_state_reads_all_tokens_again(tmp_path: Path) -> None:
    engine, _ = _load(write_model(tmp_path / "tiny"))
    expected, _ = _greedy(engine, "The quick brown fox", 6)
    forward: Callable[..., Any] = engine.model.forward

    def stateless(input_ids: Any, **_: Any) -> Any:
        output = forward(input_ids=input_ids, use_cache=False)
        output.past_key_values = None
        return output

    engine.model.forward = stateless
    engine._cache = type(engine._cache)(engine.model, torch.device("cpu"))
    assert _greedy(engine, "The quick brown fox", 6)[0] == expected


@pytest.mark.parametrize(
    "names", [("consolidated.safetensors",), ("anything.safetensors",), ("b.safetensors", "a.safetensors")]
)
def test_weights_with_other_file_names_are_loaded(names: tuple[str, ...], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_model(tmp_path / "tiny")
    expected = _greedy(_load(folder)[0], "The quick brown fox", 6)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for number, name in enumerate(names):
        part = {key: value for at, (key, value) in enumerate(tensors.items()) if at % len(names) == number}
        save_file(part, folder / name, metadata={"format": "pt"})
    before = sorted(path.name for path in folder.iterdir())
    engine, _ = _load(folder)
    assert _greedy(engine, "The quick brown fox", 6) == expected
    assert sorted(path.name for path in folder.iterdir()) == before
    engine.unload()


def test_two_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "tiny")
    (folder / "b.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    with pytest.raises(ModelError, match="Both a.safetensors and b.safetensors of tiny hold"):
        _load(folder)


def test_a_template_in_a_separate_file_is_used(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "tiny")
    for name in ("chat_template.jinja", "chat_template.json"):
        (folder / name).unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "words"}))
    _, info = _load(folder)
    assert (info.template, info.template_source) == ("words", "chat_template.json")
