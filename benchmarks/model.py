"""Creates the measured model: a Llama of 150M parameters with random weights and the demo model's tokenizer.

Its likeliest tokens are whole words. As with a trained model, a reply that becomes part of the chat is then
tokenized to the generated tokens again, so that caches contain it.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.system.pip_config import package_sources, read_pip_config
from tests.support.quantize import quantized

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE = 1024, 12, 16, 16, 2816
CONTEXT = 4096
_COPIED = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)


def folder_model(root: Path, layers: int = LAYERS) -> Path:
    """Return the model as a Transformers folder (fp16 safetensors, 300 MB with all layers), created once."""
    folder = root / ".test-models" / ("bench-150m-words" if layers == LAYERS else f"bench-{layers}-layers-words")
    if (folder / "model.safetensors").exists():
        return folder
    demo = root / "models" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        if (demo / name).exists():
            shutil.copy(demo / name, folder / name)
    config = json.loads((demo / "config.json").read_text())
    sizes = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": CONTEXT,
    }
    (folder / "config.json").write_text(json.dumps({**config, **sizes}, indent=1))
    vocabulary = json.loads((demo / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = [token for text, token in vocabulary.items() if re.fullmatch("▁[A-Za-z]+", text)]
    _write(folder / "model.safetensors", _shapes(config["vocab_size"], layers), words)
    return folder


def gguf_model(root: Path) -> Path:
    """Return the model as a GGUF file in Q8_0 (160 MB), exported like the demo model, created once."""
    file = root / ".test-models" / "bench-150m-words.Q8_0.gguf"
    if file.exists():
        return file
    from uv import find_uv_bin

    training = root / "models" / "demo" / "training"
    pins = {
        line.split("==")[0]: line for line in (training / "requirements.txt").read_text().splitlines() if "==" in line
    }
    wanted = [part for name in ("gguf", "sentencepiece", "safetensors", "numpy") for part in ("--with", pins[name])]
    partial = file.with_suffix(".part")
    command = [find_uv_bin(), "run", "--no-project", "--quiet", *wanted, *package_sources(read_pip_config()).arguments]
    subprocess.run(
        [*command, "python", str(training / "export_gguf.py"), str(folder_model(root)), str(partial)], check=True
    )
    partial.rename(file)
    return file


def measured_model(root: Path, loader: str) -> Path:
    """Return the model in the format for this loader. Quantized formats are created once, by their engines."""
    if loader in ("xllamacpp", "llamacpp"):
        return gguf_model(root)
    kind = {"gptqmodel": "gptq", "autogptq": "gptq", "autoawq": "awq"}.get(loader, "")
    folder = folder_model(root)
    return quantized(kind, folder) if kind else folder


def _shapes(vocabulary: int, layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "lm_head.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    size = HIDDEN // HEADS
    for layer in range(layers):
        for name, shape in {
            "self_attn.q_proj": (HEADS * size, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * size, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * size, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * size),
            "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
            "mlp.up_proj": (INTERMEDIATE, HIDDEN),
            "mlp.down_proj": (HIDDEN, INTERMEDIATE),
            "input_layernorm": (HIDDEN,),
            "post_attention_layernorm": (HIDDEN,),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes


def _write(path: Path, shapes: dict[str, tuple[int, ...]], words: Sequence[int]) -> None:
    """Write seeded random weights (norms: ones) in fp16 as one safetensors file. Only `words` get a logit."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    random = np.random.default_rng(150)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            weights = np.ones(shape) if len(shape) == 1 else random.standard_normal(shape, np.float32) * 0.02
            if name == "lm_head.weight":
                weights[np.setdiff1d(np.arange(shape[0]), words)] = 0
            file.write(weights.astype("<f2").tobytes())
    partial.rename(path)
