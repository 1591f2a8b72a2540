"""Model folders that try to run their own code when they are loaded. Code that runs writes a marker file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.models import write_safetensors

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 16,
    "max_position_embeddings": 128,
    "torch_dtype": "float32",
}
_SHAPES = {
    "model.embed_tokens.weight": [16, 64],
    "lm_head.weight": [16, 64],
    "model.norm.weight": [64],
    "model.layers.0.input_layernorm.weight": [64],
    "model.layers.0.post_attention_layernorm.weight": [64],
    "model.layers.0.self_attn.q_proj.weight": [64, 64],
    "model.layers.0.self_attn.k_proj.weight": [32, 64],
    "model.layers.0.self_attn.v_proj.weight": [32, 64],
    "model.layers.0.self_attn.o_proj.weight": [64, 64],
    "model.layers.0.mlp.gate_proj.weight": [64, 64],
    "model.layers.0.mlp.up_proj.weight": [64, 64],
    "model.layers.0.mlp.down_proj.weight": [64, 64],
}
_VOCABULARY = ["<unk>", "<s>", "</s>", *"abcdefghijklm"]
_AUTO = {
    "AutoConfig": "evil.Evil",
    "AutoModel": "evil.Evil",
    "AutoModelForCausalLM": "evil.Evil",
    "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    "AutoProcessor": "evil.Evil",
    "AutoImageProcessor": "evil.Evil",
    "AutoFeatureExtractor": "evil.Evil",
    "AutoVideoProcessor": "evil.Evil",
}
# Names of configurations inside a configuration that architectures use.
_NESTED = (
    *("text_config", "vision_config", "audio_config", "backbone_config", "encoder", "decoder", "question_encoder"),
    *("keypoint_detector_config", "generator", "semantic_model_config", "vision_backbone_config", "qformer_config"),
    *("language_config", "llm_config", "talker_config", "thinker_config", "speech_config", "prompt_encoder_config"),
)
# Architectures that build other models from such configurations.
_OUTER = (
    *("lightglue", "llava", "mllama", "encoder-decoder", "vision-encoder-decoder", "rag", "blip-2", "detr", "edgetam"),
    *("speech-encoder-decoder", "xcodec", "idefics3", "paligemma", "musicgen", "vision-text-dual-encoder"),
    "maskformer",
)
_PROCESSORS = ("processor_config", "preprocessor_config", "video_preprocessor_config", "feature_extractor_config")
# Modules that an engine may import, with names that are free.
_SHADOWED = ("timm", "einops", "kernels", "rjieba", "flash_attn", "megatron", "modeling_llama", "loaders", "sacremoses")


class Attacks:
    """Writes attack folders below `root`. The code of each would write a marker file beside its folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def marker(self, name: str) -> Path:
        """Return the path of the file that exists once code of the attack `name` has run."""
        return self.root / f"{name}.ran"

    def write(self) -> list[Path]:
        """Write all attack folders, and return them."""
        for name, make in self._makers().items():
            folder = self.base(name)
            make(folder)
        return [self.root / name for name in self._makers()]

    def base(self, name: str) -> Path:
        """Write a small Llama folder with code in it that nothing refers to yet."""
        folder = self.root / name
        folder.mkdir(parents=True)
        _json(folder / "config.json", LLAMA)
        _json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"})
        _json(folder / "tokenizer.json", _tokenizer())
        write_safetensors(folder / "model.safetensors", _SHAPES)
        self.code(folder / "evil.py", name)
        return folder

    def code(self, path: Path, name: str) -> None:
        """Write a module that writes the marker and can stand for any class."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"open({str(self.marker(name))!r}, 'w').close()\n"
            "from transformers import LlamaConfig\n"
            "class Evil(LlamaConfig):\n    model_type = 'evil'\n"
            "def generate(*args, **kwargs): ...\n"
        )

    def _makers(self) -> dict[str, Callable[[Path], None]]:
        makers: dict[str, Callable[[Path], None]] = {
            "unknown_type": lambda folder: _change(folder, model_type="evil", auto_map=_AUTO),
            "native_type": lambda folder: _change(folder, auto_map=_AUTO),
            "native_type_trusting": lambda folder: _change(folder, auto_map=_AUTO, trust_remote_code=True),
            "no_type": lambda folder: _change(folder, model_type=None, auto_map=_AUTO, trust_remote_code=True),
            "tokenizer": self._tokenizer,
            "processors": self._processors,
            "custom_generate": self._custom_generate,
            "shadowing": self._shadowing,
            "kernel": lambda folder: _change(
                folder, attn_implementation=str(folder), _attn_implementation=str(folder), use_kernels=True
            ),
            "pickled": self._pickled,
            "pickled_hqq": self._pickled_hqq,
            "gptq": lambda folder: self._packed(folder, {"quant_method": "gptq", "bits": 4, "group_size": 8}),
            "awq": lambda folder: self._packed(folder, {"quant_method": "awq", "bits": 4, "group_size": 8}),
            "hqq": lambda folder: _change(folder, auto_map=_AUTO, quantization_config={"quant_method": "hqq"}),
        }
        for outer in _OUTER:
            makers[f"nested_{outer}"] = lambda folder, outer=outer: self._nested(folder, outer)  # type: ignore[misc]
        return makers

    def _tokenizer(self, folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer.model").write_bytes(b"no tokenizer")
        _json(
            folder / "tokenizer_config.json",
            {"tokenizer_class": "Evil", "auto_map": _AUTO, "trust_remote_code": True, "name_or_path": str(folder)},
        )

    def _processors(self, folder: Path) -> None:
        for name in _PROCESSORS:
            _json(folder / f"{name}.json", {"auto_map": _AUTO, "trust_remote_code": True, "processor_class": "Evil"})

    def _custom_generate(self, folder: Path) -> None:
        self.code(folder / "custom_generate" / "generate.py", folder.name)
        _json(
            folder / "generation_config.json",
            {"custom_generate": str(folder), "trust_remote_code": True, "auto_map": _AUTO},
        )

    def _shadowing(self, folder: Path) -> None:
        for name in _SHADOWED:
            self.code(folder / f"{name}.py", folder.name)

    def _pickled(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in ("pytorch_model.bin", "vocab.pkl", "original/consolidated.00.pth", "tokenizer.pkl"):
            self._pickle(folder / name, folder.name)

    def _pickled_hqq(self, folder: Path) -> None:
        self._pickle(folder / "qmodel.pt", folder.name)

    def _pickle(self, path: Path, name: str) -> None:
        marker = str(self.marker(name))

        class Trap:
            def __reduce__(self) -> Any:
                return open, (marker, "w")

        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(Trap()))

    def _packed(self, folder: Path, claim: dict[str, Any]) -> None:
        """Write one packed layer, so that loaders for packed weights accept the folder."""
        _change(folder, auto_map=_AUTO, quantization_config=claim)
        method = claim["quant_method"]
        rows, columns = (8, 64) if method == "gptq" else (64, 8)
        layer = "model.layers.0.self_attn.q_proj"
        write_safetensors(
            folder / "model.safetensors",
            {**_SHAPES, f"{layer}.qweight": [rows, columns], f"{layer}.scales": [8, 64], f"{layer}.qzeros": [8, 8]},
        )

    def _nested(self, folder: Path, outer: str) -> None:
        inner = folder / "inner"
        inner.mkdir()
        self.code(inner / "evil.py", folder.name)
        _json(inner / "config.json", {"model_type": "evil", "auto_map": _AUTO, "trust_remote_code": True})
        part = {
            "model_type": "evil",
            "_name_or_path": str(inner),
            "name_or_path": str(inner),
            "backbone": str(inner),
            "auto_map": _AUTO,
            "trust_remote_code": True,
        }
        # Folders saved by hqq have this, so the hqq loader is proposed.
        _change(
            folder,
            model_type=outer,
            architectures=["LlamaForCausalLM"],
            trust_remote_code=True,
            backbone=str(inner),
            use_pretrained_backbone=True,
            quantization_config={"quant_method": "hqq"},
            **{name: dict(part) for name in _NESTED},
        )


def _change(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(values)
    _json(folder / "config.json", {key: value for key, value in config.items() if value is not None})


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _tokenizer() -> dict[str, Any]:
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: number for number, token in enumerate(_VOCABULARY)},
            "unk_token": "<unk>",
        },
    }
