"""LLM Compressor: makes SmoothQuant W8A8, W4A16 and FP8 models. It loads none."""
