"""Quantize a model folder to 4 bits with HQQ, saved in HQQ's own format: `python hqq_maker.py SOURCE TARGET`.

Run it with the Python of the hqq loader's environment.
"""

from __future__ import annotations

import sys


def make(source: str, target: str) -> None:
    """Write config.json and qmodel.pt, with groups of 64."""
    import torch
    from hqq.core.quantize import BaseQuantizeConfig
    from hqq.models.hf.base import AutoHQQHFModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    AutoHQQHFModel.quantize_model(
        model, BaseQuantizeConfig(nbits=4, group_size=64, axis=1), compute_dtype=torch.float32, device="cpu"
    )
    AutoHQQHFModel.save_quantized(model, target)


if __name__ == "__main__":
    make(*sys.argv[1:])
