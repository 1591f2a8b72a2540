"""ExLlamaV3: EXL3 on NVIDIA cards."""
