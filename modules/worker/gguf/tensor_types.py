"""Which number format each tensor of a GGUF file gets, by llama.cpp's own rules, and by the user's.

Reference: llama_tensor_get_type, tensor_allows_quantization and tensor_type_fallback in src/llama-quant.cpp of
https://github.com/ggml-org/llama.cpp (build 11549). A test compares the result with llama_model_quantize.
"""

from __future__ import annotations

from collections.abc import Callable

from modules.families.gguf_tensor_types import FULL_PRECISION, TypeOverrides
from modules.protocol.errors import ModelError
from modules.worker.gguf.source import SourceModel, SourceTensor
from modules.worker.gguf.type_rules import FILE_TYPES, TypeRules

# A row that a block does not divide gets the type on the right, whose blocks have 32 numbers.
_FALLBACK = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_ATTENTION = ("attn_qkv", "attn_v", "attn_k", "attn_q", "attn_output")
_FEED_FORWARD = ("ffn_up", "ffn_gate", "ffn_down")
# Ends and parts of the names of tensors that are small or that engines read as numbers of 16 or 32 bits.
_KEPT_ENDS = ("ffn_gate_inp.weight", "position_embd.weight", "token_types.weight")
_KEPT_PARTS = (
    *("_norm.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d"),
    *("shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight"),
    *("time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight"),
    *("time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight"),
    *("time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight"),
    *("attn_rel_b.weight",),
)


def choose_types(
    model: SourceModel,
    file_type: str,
    block: Callable[[str], int],
    has_importance: bool = False,
    overrides: TypeOverrides | None = None,
) -> dict[str, str]:
    """Return tensor name -> format for a file of the type `file_type`.

    `block`: returns how many numbers of a row a format packs together. `overrides`: types that a user sets; their
    tensors are not counted by the rules for the others. Raises ModelError for an override that cannot be.
    """
    default, wanted = FILE_TYPES[file_type][1], overrides or TypeOverrides()
    names = [tensor.name for tensor in model.tensors]
    rules = TypeRules(model, file_type, has_importance)
    rules.values = sum(_category(name) in ("attn_v", "attn_qkv") for name in names)
    tied = "output.weight" not in names
    chosen = {}
    for tensor in sorted(model.tensors, key=lambda tensor: (tensor.layer, tensor.name)):
        if not is_quantized(tensor):
            chosen[tensor.name] = "F32"
            continue
        category, kind = _category(tensor.name), default
        if own := {"token_embd": wanted.embedding, "output": wanted.output}.get(category):
            kind = _dividing(own, tensor, block)
        elif default not in FULL_PRECISION:
            is_output = tied and category == "token_embd"
            kind = wanted.matching(tensor.name) or (wanted.output if is_output else "")
            kind = kind or rules.choose(tensor.name, category, tensor.columns, default, tied, block(default))
            kind = _fitting(kind, tensor.columns, block)
        chosen[tensor.name] = kind
    _check_patterns(wanted, [tensor.name for tensor in model.tensors if is_quantized(tensor)], file_type)
    return chosen


def _dividing(kind: str, tensor: SourceTensor, block: Callable[[str], int]) -> str:
    if tensor.columns % block(kind):
        raise ModelError(
            f"{tensor.name} has rows of {tensor.columns} numbers, which blocks of {block(kind)} ({kind}) do not "
            "divide. Choose another type for it, such as Q8_0 or F16."
        )
    return kind


def _check_patterns(wanted: TypeOverrides, names: list[str], file_type: str) -> None:
    if wanted.patterns and FILE_TYPES[file_type][1] in FULL_PRECISION:
        raise ModelError(
            f"The type {file_type} quantizes no tensor, so tensor_types changes nothing. Choose a quantized type, such "
            "as Q8_0."
        )
    for pattern, kind in wanted.patterns:
        if not any(TypeOverrides(((pattern, kind),)).matching(name) for name in names):
            parts = sorted({".".join(name.split(".")[2:]) if name.startswith("blk.") else name for name in names})
            raise ModelError(
                f"The pattern {pattern!r} (tensor_types) matches no tensor that is quantized. Their names are "
                f"{', '.join(parts)}; those of layer 0 begin with blk.0."
            )


def lossless_types(model: SourceModel) -> dict[str, str]:
    """Return tensor name -> format for a file that holds the weights as the source does; small tensors in F32."""
    return {tensor.name: tensor.kind if is_quantized(tensor) else "F32" for tensor in model.tensors}


def is_quantized(tensor: SourceTensor) -> bool:
    """Return True for a matrix that llama.cpp quantizes; the others stay in F32."""
    # ggml counts a matrix of one row as a vector.
    if tensor.rows < 2 or not tensor.name.endswith("weight") or tensor.name.endswith(_KEPT_ENDS):
        return False
    return not any(part in tensor.name for part in _KEPT_PARTS)


def _category(name: str) -> str:
    if name in ("output.weight", "token_embd.weight"):
        return name.removesuffix(".weight")
    found = [category for category in _ATTENTION if f"{category}.weight" in name]
    return next(iter([*found, *(category for category in _FEED_FORWARD if category in name)]), "")


def _fitting(kind: str, columns: int, block: Callable[[str], int]) -> str:
    if columns % block(kind) == 0:
        return kind
    smaller = _FALLBACK.get(kind, kind)
    return smaller if columns % block(smaller) == 0 else "F16"
