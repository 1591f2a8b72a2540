"""Transformers' own `generate` on a CUDA card, greedy: `python cuda_raw.py MODEL PROMPT FORM`.

FORM: a data type for whole weights, nf4 to pack them with bitsandbytes, auto for a folder that is packed already.
"""

from __future__ import annotations

import sys

import torch
from cached import streaming
from loop import serve
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig


def main(path: str, prompt: str, form: str) -> None:
    """Serve rounds."""
    options = {"dtype": "auto" if form == "auto" else torch.bfloat16 if form == "nf4" else getattr(torch, form)}
    if form == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True, device_map="cuda", **options).eval()
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    ids = tokenizer(prompt, return_tensors="pt").input_ids.to("cuda")
    mask = torch.ones_like(ids)

    def generate(count: int) -> int:
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=False, min_new_tokens=count, max_new_tokens=count
            )
        return int(out.shape[1] - ids.shape[1])

    generate(4)
    serve(generate, streaming(model, lambda text: list(tokenizer(text).input_ids)))


if __name__ == "__main__":
    main(*sys.argv[1:])
