"""ExLlamaV3: makes EXL3 models on NVIDIA cards. It loads none."""
