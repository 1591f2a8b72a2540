"""ExLlamaV2: EXL2 and GPTQ on NVIDIA cards."""
