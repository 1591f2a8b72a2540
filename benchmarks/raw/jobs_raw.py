"""What a job does, by the engine alone: `python jobs_raw.py WORK SOURCE TARGET JSON`, in the engine's environment.

JSON: a table of numbers and names. `text` is a file: it is tokenized and cut into rows of `length` tokens, as the jobs
do. `threads`: as many as the job uses.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def gguf(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Quantize a GGUF file with llama.cpp's llama_model_quantize."""
    import ctypes

    from llama_cpp import llama_cpp as lib

    params = lib.llama_model_quantize_default_params()
    params.ftype, params.nthread = options["file_type"], options["threads"]
    status = lib.llama_model_quantize(source.encode(), f"{target}.gguf".encode(), ctypes.byref(params))
    assert status == 0, status


def awq(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Quantize to AWQ with GPTQModel."""
    os.environ["GPTQMODEL_CPU_WORKERS"] = "2"
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig
    from gptqmodel.quantization import FORMAT, METHOD

    torch.set_num_threads(options["threads"])
    rows = _rows(source, options)[: options["samples"]]
    config = QuantizeConfig(
        bits=4, group_size=128, device="cpu", method=METHOD.AWQ, format=FORMAT.GEMM, sym=not options["zero_point"]
    )
    model = GPTQModel.load(source, config)
    model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
    model.save(target)


def hqq(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Quantize with HQQ in Transformers."""
    import torch
    from transformers import AutoModelForCausalLM, HqqConfig

    torch.set_num_threads(options["threads"])
    config = HqqConfig(nbits=4, group_size=64, axis=1, skip_modules=["lm_head"])
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float16, device_map={"": "cpu"}, quantization_config=config
    )
    model.save_pretrained(target)


def gptq(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Quantize with GPTQModel."""
    os.environ["GPTQMODEL_CPU_WORKERS"] = "2"
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig

    torch.set_num_threads(options["threads"])
    rows = _rows(source, options)[: options["samples"]]
    model = GPTQModel.load(source, QuantizeConfig(bits=4, group_size=128, damp_percent=0.05, device="cpu"))
    model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
    model.save(target)


def bnb(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Quantize to NF4 with bitsandbytes."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(options["threads"])
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float16, device_map={"": "cpu"}, quantization_config=config
    )
    model.save_pretrained(target)


def train(source: str, target: str, options: Mapping[str, Any]) -> None:
    """Train a LoRA adapter with Transformers' Trainer and PEFT."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    torch.set_num_threads(options["threads"])
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model.config.use_cache = False
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))
    rows = [row for row in _rows(source, options) if len(row) == options["length"]]
    arguments = TrainingArguments(
        output_dir=f"{target}.checkpoints",
        num_train_epochs=1,
        per_device_train_batch_size=2,
        learning_rate=2e-4,
        report_to=[],
        use_cpu=True,
    )
    data = [{"input_ids": row, "labels": row, "attention_mask": [1] * len(row)} for row in rows]
    Trainer(model=model, args=arguments, train_dataset=data).train()
    model.save_pretrained(target)


def _rows(source: str, options: Mapping[str, Any]) -> list[list[int]]:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{source}/tokenizer.json")
    tokens = tokenizer.encode(Path(options["text"]).read_text(encoding="utf-8"))
    return [tokens[begin : begin + options["length"]] for begin in range(0, len(tokens), options["length"])]


if __name__ == "__main__":
    work, from_folder, to_folder, values = sys.argv[1:]
    works = {"gguf": gguf, "gptq": gptq, "awq": awq, "hqq": hqq, "bnb": bnb, "train": train}
    works[work](from_folder, to_folder, json.loads(values))
