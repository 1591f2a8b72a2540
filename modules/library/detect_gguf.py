"""Facts of a GGUF model from the headers of its file or of all its shards."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from modules.library.facts_builder import FactsBuilder
from modules.library.folder import all_shard_names, join_names
from modules.library.gguf import GgufHeader, read_header
from modules.library.gguf_types import FILE_TYPES
from modules.library.parameter_count import EXPERT_TENSOR, LAYER_TENSOR
from modules.library.purpose import read_gguf_purpose
from modules.protocol.errors import ModelError

_IN_NAME = re.compile(
    r"(?<![A-Za-z0-9])((?:IQ|TQ|Q)\d(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4)(?![A-Za-z0-9])", re.IGNORECASE
)
_NO_MODELS = {
    "adapter": "is a LoRA adapter, not a model. Load its base model and apply the adapter to it.",
    "mmproj": "is a projector for images, not a model. Put it beside its model and load that model.",
    "imatrix": "is an importance matrix, which is only used for quantizing. Load the model itself.",
    "vocab": "holds a vocabulary, not a model. Download the model's own file.",
}


def detect_gguf(path: Path, found: FactsBuilder) -> None:
    """Note what the file at `path` (a first shard, or a whole model) and its other shards say."""
    found.add("format", "gguf", f"file name: {path.name}")
    names = all_shard_names(path.name)
    there = [path.with_name(name) for name in names if path.with_name(name).is_file()]
    found.add("size_bytes", sum(shard.stat().st_size for shard in there), "file size")
    if missing := [name for name in names if path.with_name(name) not in there]:
        found.problems.append(
            f"Parts of this model are missing: {join_names(missing)}. Download them into the same folder."
        )
    headers = []
    for shard in there:
        try:
            headers.append(read_header(shard))
        except ModelError as error:
            found.problems.append(error.message)
    if headers:
        _metadata(headers[0], found)
    if headers and not found.problems:
        _tensors(headers, found)
    if match := _IN_NAME.findall(path.stem):
        found.add("dtype", match[-1].upper(), f"file name: {path.name}")


def _metadata(header: GgufHeader, found: FactsBuilder) -> None:
    architecture = header.text("general.architecture")[:100]
    kind = "mmproj" if architecture == "clip" else header.text("general.type").lower()

    def note(fact: str, key: str) -> None:
        found.add(fact, header.number(f"{architecture}.{key}"), f"GGUF metadata: {architecture}.{key}")

    found.add("architecture", architecture, "GGUF metadata: general.architecture")
    note("context", "context_length")
    note("layers", "block_count")
    note("hidden", "embedding_length")
    note("intermediate", "feed_forward_length")
    note("heads", "attention.head_count")
    note("kv_heads", "attention.head_count_kv")
    note("head_dim", "attention.key_length")
    note("experts", "expert_count")
    found.add_default("kv_heads", found.get("heads", 0), "as many as heads, since the file gives no other number")
    if found.get("heads", 0):
        found.add_default("head_dim", found.get("hidden", 0) // found.get("heads", 1), "hidden size / heads")
    tokens = header.length("tokenizer.ggml.tokens")
    found.add("vocabulary", tokens, "GGUF metadata: tokenizer.ggml.tokens")
    note("vocabulary", "vocab_size")
    file_type = header.metadata.get("general.file_type")
    if isinstance(file_type, int):
        found.add("dtype", FILE_TYPES.get(file_type, ""), "GGUF metadata: general.file_type")
    if kind in ("", "model"):
        read_gguf_purpose(header, architecture, found)
    if header.text("tokenizer.chat_template").strip():
        found.add("template", "GGUF metadata", "GGUF metadata: tokenizer.chat_template")
    elif kind in ("", "model") and found.get("purpose", "generate") == "generate":
        found.warnings.append(
            "The file has no chat template. A general one is used, which may lower the quality of replies."
        )
    if kind in _NO_MODELS:
        found.problems.append(f"This {_NO_MODELS[kind]}")
    elif not tokens:
        found.problems.append(
            "The file has no vocabulary, so it cannot read or write text. Download a complete conversion."
        )
    elif not architecture:
        found.problems.append("The file does not say its architecture, so no engine can build it. Download it again.")


def _tensors(headers: list[GgufHeader], found: FactsBuilder) -> None:
    tensors = [tensor for header in headers for tensor in header.tensors]
    elements = sum(tensor.elements for tensor in tensors)
    if not elements:
        found.problems.append("The file holds no tensors. Download the model's own file.")
        return
    found.add("parameters", elements, "counted in the tensors' shapes")
    layers = [tensor for tensor in tensors if LAYER_TENSOR.search(tensor.name)]
    found.add("layer_parameters", sum(tensor.elements for tensor in layers), "shapes of the layers' tensors")
    found.add("layer_bytes", sum(tensor.size for tensor in layers), "sizes of the layers' tensors")
    experts = [tensor for tensor in layers if EXPERT_TENSOR.search(tensor.name)]
    found.add("expert_bytes", sum(tensor.size for tensor in experts), "sizes of the experts' tensors")
    weights = Counter[str]()
    for tensor in tensors:
        weights[tensor.kind] += tensor.elements
    if unknown := sorted(kind for kind in weights if kind.startswith("type ")):
        found.warnings.append(
            f"Some tensors are of a type that Paddock does not know ({', '.join(unknown)}). An engine that is newer "
            "than Paddock may still read them."
        )
    else:
        bits = sum(tensor.size for tensor in tensors) * 8 / elements
        found.add("bits", round(bits, 2), "tensor bytes × 8 / parameters")
    found.add_default("dtype", weights.most_common(1)[0][0], "the type of most weights")
