"""LoRA and QLoRA training with Transformers' Trainer and PEFT."""
