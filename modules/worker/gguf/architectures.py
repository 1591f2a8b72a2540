"""Model families that are converted: their tensors' GGUF names, and the order of rows that llama.cpp wants.

Names: gguf-py/gguf/tensor_mapping.py of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modules.worker.gguf.safetensors_file import StoredTensor
from modules.worker.gguf.source import SourceTensor

_LLAMA_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
_LLAMA_MODEL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_GPT2_LAYER = {
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_GPT2_MODEL = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output"}
_EXPERT = re.compile(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight")
_EXPERT_NAMES = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}
_LAYER = re.compile(r"(?:model\.layers|h)\.(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True)
class Architecture:
    """How one family is written. `pairs`: rotary rows of a head come in neighbouring pairs, not in halves.

    `transposed`: matrices are stored [in, out] (Conv1D), and GGUF wants [out, in].
    """

    name: str
    layer: Mapping[str, str]
    model: Mapping[str, str]
    pairs: bool = False
    transposed: bool = False


_LLAMA = Architecture("llama", _LLAMA_LAYER, _LLAMA_MODEL, pairs=True)
# config.json: architectures[0] -> the family.
ARCHITECTURES = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "MixtralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Architecture("qwen2", _LLAMA_LAYER, _LLAMA_MODEL),
    "Qwen3ForCausalLM": Architecture("qwen3", _LLAMA_LAYER, _LLAMA_MODEL),
    "GPT2LMHeadModel": Architecture("gpt2", _GPT2_LAYER, _GPT2_MODEL, transposed=True),
}
# Buffers that config.json determines.
_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$")


def source_tensors(
    architecture: Architecture, stored: Mapping[str, StoredTensor], heads: int, kv_heads: int, tied: bool
) -> tuple[list[SourceTensor], list[str]]:
    """Return the tensors under their GGUF names, and the names of those that this family does not have."""
    found: list[SourceTensor] = []
    unknown: list[str] = []
    experts: dict[str, dict[int, StoredTensor]] = {}
    for name, tensor in stored.items():
        plain = name.removeprefix("transformer.")
        if _COMPUTED.search(plain) or (tied and plain == "lm_head.weight"):
            continue
        if expert := _EXPERT.fullmatch(plain):
            layer, number, part = expert.groups()
            experts.setdefault(f"blk.{layer}.{_EXPERT_NAMES[part]}.weight", {})[int(number)] = tensor
        elif new := _gguf_name(architecture, plain):
            found.append(_placed(architecture, new, tensor, heads, kv_heads))
        else:
            unknown.append(name)
    found += [_stacked(name, parts) for name, parts in experts.items()]
    return found, unknown


def adapted_tensor(
    architecture: Architecture, name: str, tensor: StoredTensor, heads: int, kv_heads: int
) -> SourceTensor | None:
    """Return `tensor` under the GGUF name of the layer's tensor `name`, its rows in the order of that tensor's rows.

    `heads` is 0 for a tensor whose rows are not those of the layer's output. None if GGUF has no such layer.
    """
    new = _gguf_name(architecture, name) if _LAYER.fullmatch(name) else ""
    if not new:
        return None
    return _placed(architecture, new, tensor, heads, kv_heads if heads else 0)


def _gguf_name(architecture: Architecture, name: str) -> str:
    if match := _LAYER.fullmatch(name):
        number, part, kind = match.groups()
        return f"blk.{number}.{architecture.layer[part]}.{kind}" if part in architecture.layer else ""
    part, _, kind = name.rpartition(".")
    return f"{architecture.model[part]}.{kind}" if part in architecture.model else ""


def _placed(architecture: Architecture, name: str, tensor: StoredTensor, heads: int, kv_heads: int) -> SourceTensor:
    shape = tensor.shape
    if architecture.transposed and len(shape) == 2 and name.startswith("blk."):
        return SourceTensor(name, shape[::-1], tensor.kind, tensor.transposed())
    count = {"attn_q": heads, "attn_k": kv_heads}.get(name.split(".")[2] if name.startswith("blk.") else "", 0)
    if not (architecture.pairs and count):
        return SourceTensor(name, shape, tensor.kind, tensor.rows())
    if len(shape) == 1:
        # A bias moves as the rows of its matrix do: read it as a column, and give it back as one row.
        column = StoredTensor(name, (shape[0], 1), tensor.kind, tensor.data)
        moved = column.rows(_in_pairs(shape[0], count))(0, shape[0])
        return SourceTensor(name, shape, tensor.kind, lambda begin, end: moved)
    return SourceTensor(name, shape, tensor.kind, tensor.rows(_in_pairs(shape[0], count)))


def _in_pairs(rows: int, heads: int) -> Callable[[int], int]:
    """Return the function from a row in llama.cpp's order to the row in Transformers', within each head.

    Transformers rotates row i with row i + half, llama.cpp neighbours.
    """
    size = rows // heads
    half = size // 2

    def order(row: int) -> int:
        head, within = divmod(row, size)
        return head * size + within % 2 * half + within // 2

    return order


def _stacked(name: str, parts: Mapping[int, StoredTensor]) -> SourceTensor:
    """Return the experts' matrices as one tensor [experts, rows, columns]."""
    ordered = [parts[number] for number in sorted(parts)]
    rows, columns = ordered[0].shape
    readers = [part.rows() for part in ordered]

    def read(begin: int, end: int) -> bytes | memoryview:
        expert = begin // rows  # a slab never crosses experts
        return readers[expert](begin - expert * rows, end - expert * rows)

    return SourceTensor(name, (len(ordered), rows, columns), ordered[0].kind, read)
