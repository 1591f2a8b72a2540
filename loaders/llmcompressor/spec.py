"""What the llmcompressor loader declares: it makes compressed-tensors folders, which vLLM and Transformers load."""

from __future__ import annotations

from loaders.llmcompressor.quantization import W8A8
from modules.families.no_models import NoSettings, claim_nothing
from modules.families.torch_variants import TORCH_VARIANTS
from modules.protocol.loader_spec import LoaderSpec

SPEC = LoaderSpec(
    name="llmcompressor",
    title="LLM Compressor",
    summary="Makes SmoothQuant W8A8, W4A16 and FP8 models, which vLLM and Transformers load. It loads none itself.",
    formats=(),
    settings=NoSettings,
    claim=claim_nothing,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    variants=TORCH_VARIANTS,
    quantizers=(W8A8,),
    probe="import torch; from importlib.metadata import version; from llmcompressor import oneshot; "
    "print('llmcompressor', version('llmcompressor'), 'torch', torch.__version__)",
)
