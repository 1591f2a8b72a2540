"""A model folder of Transformers, or a GGUF file, as a source of GGUF tensors and metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from mmap import mmap
from pathlib import Path

from modules.families.weight_files import INDEX, WHOLE, find_other_weights
from modules.protocol.errors import ModelError
from modules.worker.gguf.architectures import ARCHITECTURES, source_tensors
from modules.worker.gguf.gguf_file import RowBytes, read_gguf
from modules.worker.gguf.hyperparameters import head_counts, number, write_hyperparameters
from modules.worker.gguf.safetensors_file import read_tensors
from modules.worker.gguf.source import Metadata, SourceModel
from modules.worker.gguf.vocabulary import write_vocabulary

QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION of ggml.h


def read_source(path: Path, name: str, card: Mapping[str, object], row_bytes: RowBytes | None = None) -> SourceModel:
    """Return the model at `path` for a GGUF file that is called `name`.

    `card`: the model card, which goes into the metadata. `row_bytes`: as of read_gguf, for a file that is quantized.
    Raises ModelError with the next step for a model that cannot be converted.
    """
    model = read_gguf(path, row_bytes) if path.is_file() else _read_folder(path)
    metadata = model.metadata
    metadata.text("general.name", name)
    metadata.text("general.quantized_by", "Paddock")
    metadata.whole("general.quantization_version", QUANTIZATION_VERSION)
    metadata.text("paddock.card", json.dumps(card, ensure_ascii=False))
    return model


def _read_folder(folder: Path) -> SourceModel:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    first = str((config.get("architectures") or [""])[0])
    if first not in ARCHITECTURES:
        known = ", ".join(name.removesuffix("ForCausalLM").removesuffix("LMHeadModel") for name in ARCHITECTURES)
        raise ModelError(
            f"{folder.name} is a {first or 'model of an unnamed architecture'}, which this converter does not write as "
            f"GGUF. It writes: {known}. Choose another method, or download the model as GGUF."
        )
    architecture = ARCHITECTURES[first]
    heads, kv_heads = head_counts(config)
    metadata = Metadata()
    metadata.text("general.architecture", architecture.name)
    metadata.text("general.type", "model")
    stored = read_tensors(folder, _weight_files(folder))
    tied = bool(config.get("tie_word_embeddings", architecture.name == "gpt2"))
    tensors, unknown = source_tensors(architecture, stored, heads, kv_heads, tied)
    if unknown:
        raise ModelError(
            f"{folder.name} has tensors that a {first} does not have, such as {unknown[0]} ({len(unknown)} in all), so "
            "a GGUF file of it would not be the same model. Choose another method, or download the model as GGUF."
        )
    tensors += write_hyperparameters(metadata, architecture.name, config)
    write_vocabulary(metadata, folder, config)
    layers, experts = number(config, "num_hidden_layers", "n_layer"), number(config, "num_local_experts")
    mapped = {id(tensor.data.obj): tensor.data.obj for tensor in stored.values() if isinstance(tensor.data.obj, mmap)}
    return SourceModel(architecture.name, metadata, tensors, layers, heads, kv_heads, experts, tuple(mapped.values()))


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        places = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(places.values()))]
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    return [folder / name for name in find_other_weights(file.name for file in folder.iterdir())]
