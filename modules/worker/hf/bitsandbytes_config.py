"""The configuration with which Transformers packs weights by bitsandbytes while it loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

# Weights that share a scale, as Transformers lets bitsandbytes pack them.
_BLOCK = 64


def packing_config(
    kind: str, compute: torch.dtype, *, double_quantization: bool = True, cpu_offload: bool = False
) -> BitsAndBytesConfig:
    """Return the quantization_config of from_pretrained for `kind`: "int8", "nf4" or "fp4".

    For 4 bits: `compute`: the type of the arithmetic; `double_quantization`: the scales are packed too.
    `cpu_offload`: layers that do not fit the cards go to main memory, unpacked.
    """
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_enable_fp32_cpu_offload=cpu_offload)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double_quantization,
        bnb_4bit_compute_dtype=compute,
        llm_int8_enable_fp32_cpu_offload=cpu_offload,
    )


def avoid_cpu_kernel(model: PreTrainedModel) -> None:
    """Let 4-bit layers of unusual widths use bitsandbytes' general code on a CPU.

    Its kernel for AVX512-BF16 (_convert_weight_packed_for_cpu, 0.50) takes multiples of 32 outputs and rows
    of whole blocks. With others it fails at the first reply.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit" and (module.out_features % 32 or module.in_features % _BLOCK):
            module.support_avx512bf16_for_cpu = False
