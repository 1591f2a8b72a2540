"""Make the adapters of lora.py: `python lora_maker.py SOURCE TARGET`, in the transformers environment."""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

# Modules whose rows have the same order in a GGUF file, and their names there. (llama.cpp's convert_hf_to_gguf.py
# reorders the rows of q_proj and k_proj.)
_NAMES = {"v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "down_proj": "ffn_down"}
_RANK, _ALPHA = 4, 8


def _adapter(source: str, folder: Path, seed: int, width: int = 0) -> None:
    """Write an adapter for the model at `source`, or for a model with the hidden size `width`."""
    config = AutoConfig.from_pretrained(source)
    if width:
        config.hidden_size = width
    model = AutoModelForCausalLM.from_config(config)
    lora = LoraConfig(r=_RANK, lora_alpha=_ALPHA, target_modules=list(_NAMES), task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    adapted.peft_config["default"].base_model_name_or_path = "maker/wide" if width else "paddock/demo"
    torch.manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            # Large enough to change a text, and small enough to keep it a text.
            torch.nn.init.normal_(parameter, std=0.06)
    adapted.save_pretrained(str(folder))


def _convert(folder: Path) -> None:
    """Write the adapter as GGUF beside the PEFT folder, as llama.cpp's convert_lora_to_gguf.py does."""
    writer = gguf.GGUFWriter(f"{folder}.gguf", "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(_ALPHA))
    for key, value in load_file(folder / "adapter_model.safetensors").items():
        # base_model.model.model.layers.3.self_attn.v_proj.lora_A.weight
        parts = key.split(".")
        place = parts[parts.index("layers") + 1]
        half = parts[-2].lower()
        writer.add_tensor(f"blk.{place}.{_NAMES[parts[-3]]}.weight.{half}", value.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir()
    for label, width in (("a", 0), ("b", 0), ("other", 512)):
        _adapter(sys.argv[1], target / label, ord(label[0]), width)
        _convert(target / label)
