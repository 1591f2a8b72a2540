"""Perplexities that others published: orientation where nothing was measured here.

LLaMA-7B on WikiText-2. FP16, INT8 and 4-bit methods: the table of docs/quantization.md (context of 2,048 tokens).
GGUF types: the differences that `llama-quantize --help` of llama.cpp names for LLaMA-v1-7B (context of 512 tokens).
Only differences are compared, as the two were measured in different ways.
"""

from __future__ import annotations

_FP16 = 5.68
# (method, bits) -> perplexity.
_BY_METHOD = {
    ("gptq", 8): 5.70,
    ("awq", 8): 5.69,
    ("int8", 8): 5.72,
    ("awq", 4): 5.78,
    ("gptq", 4): 5.85,
    ("nf4", 4): 6.05,
}
_GGUF_DIFFERENCE = {
    "Q8_0": 0.0004,
    "Q6_K": 0.0008,
    "Q5_K_M": 0.0122,
    "Q5_1": 0.0349,
    "Q5_K_S": 0.0400,
    "Q4_K_M": 0.0532,
    "Q5_0": 0.0683,
    "Q4_K_S": 0.0992,
    "Q4_1": 0.1585,
    "Q3_K_L": 0.1764,
    "Q4_0": 0.2166,
    "Q3_K_M": 0.2496,
    "Q3_K_S": 0.5551,
    "Q2_K": 0.6717,
}


def published_loss(method: str, bits: float, gguf_type: str = "") -> float | None:
    """Return the published rise of the perplexity over 16 bits, in perplexity of LLaMA-7B on WikiText-2, or None."""
    if method == "gguf":
        return _GGUF_DIFFERENCE.get(gguf_type)
    found = _BY_METHOD.get((method, round(bits)))
    return round(found - _FP16, 4) if found else None
