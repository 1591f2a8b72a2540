"""Write a tiny gpt-oss model twice: `python mxfp4_maker.py SOURCE TARGET`, in the transformers environment.

TARGET/packed has its experts in MXFP4 (OCP Microscaling Formats 1.0): 4-bit floats, two in a byte, and an exponent of 8
bits for each 32 of them. TARGET/plain has the same numbers in 32 bits. The tokenizer is that of SOURCE, the weights are
random.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GptOssConfig, GptOssForCausalLM

# The values of the codes 0 to 7 of E2M1. Codes from 8 on are the same with a minus.
_VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_BLOCK, _BIAS = 32, 127
_QUANTIZATION = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": [
        *("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"),
    ],
}


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (bytes, exponents, the numbers that they stand for) of a weight [experts, rows, columns]."""
    blocks = weight.reshape(*weight.shape[:-1], -1, _BLOCK)
    exponents = (blocks.abs().amax(-1).clamp(min=1e-9) / _VALUES[-1]).log2().ceil()
    scaled = blocks / exponents.exp2().unsqueeze(-1)
    codes = (scaled.abs().unsqueeze(-1) - _VALUES).abs().argmin(-1)
    numbers = _VALUES[codes] * scaled.sign() * exponents.exp2().unsqueeze(-1)
    codes = codes + 8 * (scaled < 0)
    # The first of two weights is in the lower half of the byte.
    packed = (codes[..., 0::2] + 16 * codes[..., 1::2]).to(torch.uint8)
    return packed, (exponents + _BIAS).to(torch.uint8), numbers.reshape(weight.shape)


def main(source: Path, target: Path) -> None:
    """Write both folders into `target`."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(source)
    config = GptOssConfig(
        num_hidden_layers=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        head_dim=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        # No token ends a text, so that a reply is as long as it is asked for.
        eos_token_id=None,
        initializer_range=0.2,
    )
    plain, packed = target / "plain", target / "packed"
    GptOssForCausalLM(config).float().save_pretrained(plain)
    packed.mkdir()
    tensors = load_file(plain / "model.safetensors")
    rest = dict(tensors)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        # Packed weights have their outputs first.
        codes, exponents, numbers = quantize(rest.pop(name).transpose(1, 2))
        rest |= {f"{name}_blocks": codes.contiguous(), f"{name}_scales": exponents.contiguous()}
        tensors[name] = numbers.transpose(1, 2).contiguous()
    save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})
    save_file(rest, packed / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(plain)
    config.quantization_config = _QUANTIZATION
    config.save_pretrained(packed)
    for folder in (plain, packed):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(source / name, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
