"""Quantize a model folder to FP8 in blocks: `python fp8_maker.py SOURCE TARGET`, in the transformers environment.

The format is that of DeepSeek and Qwen: float8_e4m3fn weights, and a weight_scale_inv for each block of 128 × 128.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_BLOCK = 128
_LARGEST = 448.0


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (weights in FP8, scales of the blocks)."""
    rows, columns = (-(-size // _BLOCK) for size in weight.shape)
    scales = torch.zeros(rows, columns)
    packed = torch.zeros(weight.shape, dtype=torch.float8_e4m3fn)
    for row in range(rows):
        for column in range(columns):
            place = (slice(row * _BLOCK, (row + 1) * _BLOCK), slice(column * _BLOCK, (column + 1) * _BLOCK))
            scales[row, column] = weight[place].abs().max() / _LARGEST
            packed[place] = (weight[place] / scales[row, column]).to(torch.float8_e4m3fn)
    return packed, scales


def main(source: Path, target: Path) -> None:
    """Write the quantized copy of `source` to `target`."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "training"))
    tensors = load_file(source / "model.safetensors")
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        tensors[name], tensors[f"{name}_scale_inv"] = quantize(tensors[name].float())
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [_BLOCK, _BLOCK],
        "modules_to_not_convert": ["lm_head"],
    }
    (target / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
