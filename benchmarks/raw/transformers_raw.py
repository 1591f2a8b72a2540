"""Transformers' own `generate`, greedy: `python transformers_raw.py MODEL PROMPT DTYPE`."""

from __future__ import annotations

import sys

import torch
from cached import streaming
from loop import serve
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(path: str, prompt: str, dtype: str) -> None:
    """Serve rounds."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
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
