"""Quantize a model folder with an engine's own quantizer: `python quantizers.py KIND SOURCE TARGET`.

Run it with the Python of the engine's environment. The model itself generates the calibration text, so no data set is
needed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_OPENINGS = (
    "What is GGUF?",
    "What is a token?",
    "How do I load a model?",
    "Hello!",
    "What is quantization?",
    "What does temperature do?",
    "My model is slow.",
    "What is the KV cache?",
)


def _calibration_texts(source: str, each: int = 1) -> list[str]:
    """Return chats that the model generates. They are the same in every run."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{source}/tokenizer.json")
    model = AutoModelForCausalLM.from_pretrained(source, torch_dtype=torch.float32)
    torch.manual_seed(0)
    texts = []
    for opening in _OPENINGS:
        prompt = f"<s><|im_start|>user\n{opening}<|im_end|>\n<|im_start|>assistant\n"
        ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
        for _ in range(each):
            made = model.generate(ids, do_sample=True, temperature=0.9, min_new_tokens=128, max_new_tokens=128)
            texts.append(tokenizer.decode(made[0]))
    return texts


def _tokens(source: str, texts: list[str]) -> list[Any]:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{source}/tokenizer.json")
    return [tokenizer.encode(text, add_special_tokens=False) for text in texts]


def gptq(source: str, target: str, act_order: bool = False) -> None:
    """Quantize to 4 bits in groups of 64 with GPTQModel."""
    # Without it, GPTQModel needs three cores, else it raises ValueError.
    os.environ["GPTQMODEL_CPU_WORKERS"] = "2"
    from gptqmodel import GPTQModel, QuantizeConfig

    config = QuantizeConfig(bits=4, group_size=64, desc_act=act_order, device="cpu")
    model = GPTQModel.load(source, config)
    rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in _tokens(source, _calibration_texts(source))]
    model.quantize(rows, batch_size=1)
    model.save(target)


def gptq_act_order(source: str, target: str) -> None:
    """Quantize as gptq does, with the columns ordered by their activations (desc_act)."""
    gptq(source, target, act_order=True)


def awq(source: str, target: str) -> None:
    """Quantize to 4 bits in groups of 64, with zero points, with AutoAWQ."""
    import torch
    from awq import AutoAWQForCausalLM
    from transformers import PreTrainedTokenizerFast

    texts = _calibration_texts(source)
    # In 32 bits: most processors have no 16-bit arithmetic, so 16 bits take twice the time.
    model = AutoAWQForCausalLM.from_pretrained(source, device_map="cpu", safetensors=True, torch_dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{source}/tokenizer.json")
    config = {"zero_point": True, "q_group_size": 64, "w_bit": 4, "version": "GEMM"}
    model.quantize(tokenizer, quant_config=config, calib_data=texts, max_calib_samples=32, max_calib_seq_len=256)
    model.model.half()
    model.save_quantized(target)


def hqq(source: str, target: str) -> None:
    """Quantize to 4 bits in groups of 64 with HQQ, saved in HQQ's own format (config.json and qmodel.pt)."""
    import torch
    from hqq.core.quantize import BaseQuantizeConfig
    from hqq.models.hf.base import AutoHQQHFModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    AutoHQQHFModel.quantize_model(
        model, BaseQuantizeConfig(nbits=4, group_size=64, axis=1), compute_dtype=torch.float32, device="cpu"
    )
    AutoHQQHFModel.save_quantized(model, target)


def hqq_transformers(source: str, target: str) -> None:
    """Quantize as hqq does, saved in Transformers' format (safetensors with W_q)."""
    import torch
    from transformers import AutoModelForCausalLM, HqqConfig

    config = HqqConfig(nbits=4, group_size=64, axis=1)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, device_map={"": "cpu"}, quantization_config=config
    )
    model.save_pretrained(target)


def nf4(source: str, target: str) -> None:
    """Quantize to 4 bits with bitsandbytes (NF4) and double quantization."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, device_map={"": "cpu"}, quantization_config=config
    )
    model.save_pretrained(target)


if __name__ == "__main__":
    {function.__name__: function for function in (gptq, gptq_act_order, awq, hqq, hqq_transformers, nf4)}[sys.argv[1]](
        *sys.argv[2:]
    )
