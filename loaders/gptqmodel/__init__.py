"""GPTQModel: GPTQ and AWQ folders, with kernels for CPUs and GPUs."""
