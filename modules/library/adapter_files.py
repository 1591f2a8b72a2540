"""Read LoRA adapters in `models/`, and check whether they fit a model.

PEFT: https://huggingface.co/docs/peft/developer_guides/checkpoint (adapter_config.json, tensors named
`base_model.model.<module>.lora_A.weight` of shape [rank, in]). GGUF: llama.cpp's convert_lora_to_gguf.py
(general.type "adapter", tensors named `<tensor>.lora_a` of shape [in, rank], the fastest first).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from modules.files.printable_name import printable_name
from modules.library.folder import list_folder
from modules.library.gguf import GgufHeader, read_header
from modules.library.json_files import as_text, positive_int, read_object
from modules.library.safetensors import TensorInfo
from modules.library.safetensors import read_header as read_safetensors
from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import Evidence, ModelFacts

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# How the format writes `general.type: "adapter"`. It is among the first keys, since an adapter has no vocabulary.
_GGUF_MARK = b"general.type" + struct.pack("<IQ", 8, len("adapter")) + b"adapter"
_GGUF_HEAD = 64 << 10

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|blk)\.(\d+)\.")
# Modules whose input is the hidden state, by their names in Transformers and in GGUF.
_READS_HIDDEN = frozenset(
    ("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "gate_proj", "up_proj", "gate_up_proj")
    + ("attn_q", "attn_k", "attn_v", "attn_qkv", "ffn_gate", "ffn_up")
)


def is_gguf_adapter(path: Path) -> bool:
    """Return True if the GGUF file at `path` says that it is an adapter. False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return _GGUF_MARK in file.read(_GGUF_HEAD)
    except OSError:
        return False


def read_adapter(path: Path, name: str) -> AdapterFacts:
    """Return the facts of the adapter at `path`. `name` is its name below models/. Its `problems` say what is wrong."""
    try:
        return _peft(path, name) if path.is_dir() else _gguf(path, name)
    except OSError as error:
        problem = f"{name} cannot be read ({error.strerror}). Check its permissions."
        return AdapterFacts(printable_name(name), printable_name(str(path)), "", problems=(problem,))


def adapter_mismatch(adapter: AdapterFacts, model: ModelFacts) -> str:
    """Return why the adapter does not fit this model; "" if nothing shows that it does not."""
    if adapter.problems:
        return " ".join(adapter.problems)
    wide = adapter.hidden and model.hidden and adapter.hidden != model.hidden
    deep = model.layers and adapter.layers > model.layers
    other = model.format == "gguf" and adapter.architecture and model.architecture != adapter.architecture
    if wide:
        why = f"it is for a hidden size of {adapter.hidden}, and that of {model.name} is {model.hidden}"
    elif deep:
        why = f"it changes {adapter.layers} layers, and {model.name} has {model.layers}"
    elif other:
        why = f"it is for the architecture {adapter.architecture}, and {model.name} is {model.architecture}"
    else:
        return ""
    base = f"Load {adapter.base} for it" if adapter.base else "Load the model that it was trained on"
    return f"{adapter.name} was trained on another model: {why}. {base}, or choose another adapter."


def _peft(path: Path, name: str) -> AdapterFacts:
    config: dict[str, object] = {}
    tensors: dict[str, TensorInfo] = {}
    problems: list[str] = []
    try:
        config = read_object(path / CONFIG)
        kind = as_text(config.get("peft_type")).upper()
        if kind != "LORA":
            problems.append(f"{name} is not a LoRA adapter ({kind or 'no peft_type'}). Choose another adapter.")
        if WEIGHTS not in list_folder(path).files:
            raise ModelError(f"{name} has no {WEIGHTS}. Get it in this format. Pickles are not read.")
        tensors = read_safetensors(path / WEIGHTS)
    except ModelError as error:
        problems.append(error.message)
    downs = {key.partition(".lora_A")[0]: info for key, info in tensors.items() if ".lora_A." in key}
    targets, layers = _modules(downs)
    hidden = next((info.shape[-1] for key, info in downs.items() if _last(key) in _READS_HIDDEN and info.shape), 0)
    base, rank = as_text(config.get("base_model_name_or_path")), positive_int(config.get("r"))
    header = f"{WEIGHTS}: names and shapes of its tensors"
    return AdapterFacts(
        name=printable_name(name),
        path=printable_name(str(path)),
        format="peft",
        size_bytes=sum(info.size for info in tensors.values()),
        base=base,
        rank=rank,
        targets=targets,
        hidden=hidden,
        layers=layers,
        evidence=_evidence(
            ("base", base, f"{CONFIG}: base_model_name_or_path"),
            ("rank", rank, f"{CONFIG}: r"),
            ("target modules", ", ".join(targets), header),
            ("hidden size", hidden, header),
            ("layers", layers, header),
        ),
        problems=tuple(problems),
    )


def _gguf(path: Path, name: str) -> AdapterFacts:
    problems: list[str] = []
    header = GgufHeader(3, {}, (), 0, 0)
    try:
        header = read_header(path)
    except ModelError as error:
        problems.append(error.message)
    if not problems and header.text("adapter.type") != "lora":
        problems.append(f"{name} is not a LoRA adapter ({header.text('adapter.type') or 'no adapter.type'}).")
    downs = {
        tensor.name.removesuffix(".lora_a").removesuffix(".weight"): tensor
        for tensor in header.tensors
        if tensor.name.endswith(".lora_a")
    }
    targets, layers = _modules(downs)
    hidden = next((tensor.shape[0] for key, tensor in downs.items() if _last(key) in _READS_HIDDEN), 0)
    rank = next((tensor.shape[1] for tensor in downs.values() if len(tensor.shape) > 1), 0)
    base, architecture = header.text("general.base_model.0.name"), header.text("general.architecture")
    return AdapterFacts(
        name=printable_name(name),
        path=printable_name(str(path)),
        format="gguf",
        size_bytes=path.stat().st_size,
        base=base,
        architecture=architecture,
        rank=rank,
        targets=targets,
        hidden=hidden,
        layers=layers,
        evidence=_evidence(
            ("base", base, "GGUF metadata: general.base_model.0.name"),
            ("architecture", architecture, "GGUF metadata: general.architecture"),
            ("rank", rank, "shapes of its tensors"),
            ("target modules", ", ".join(targets), "names of its tensors"),
            ("hidden size", hidden, "shapes of its tensors"),
            ("layers", layers, "names of its tensors"),
        ),
        problems=tuple(problems),
    )


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _modules(names: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Return (names of the modules without their layers, sorted; the lowest number of layers that has them all)."""
    found = list(names)
    numbers = [int(match[1]) for name in found if (match := _LAYER.search(name)) and len(match[1]) < 7]
    return tuple(sorted({_last(name) for name in found})), max(numbers, default=-1) + 1


def _evidence(*known: tuple[str, str | int, str]) -> tuple[Evidence, ...]:
    return tuple(Evidence(fact, str(value), source) for fact, value, source in known if value)
