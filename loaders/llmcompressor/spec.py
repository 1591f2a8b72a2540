"""What the llmcompressor loader declares: it makes compressed-tensors folders, which vLLM and Transformers load."""

from __future__ import annotations

from dataclasses import dataclass

from loaders.llmcompressor.quantization import W8A8
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Claim, Machine, ModelFacts


@dataclass(frozen=True)
class Settings:
    """It loads no model, so there is nothing to set."""


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    return None


SPEC = LoaderSpec(
    name="llmcompressor",
    title="LLM Compressor",
    summary="Makes SmoothQuant W8A8, W4A16 and FP8 models, which vLLM and Transformers load. It loads none itself.",
    formats=(),
    settings=Settings,
    claim=_claim,
    accelerators=("cpu", "cuda", "rocm"),
    requirements="requirements.txt",
    quantizers=(W8A8,),
    probe="import torch; from importlib.metadata import version; from llmcompressor import oneshot; "
    "print('llmcompressor', version('llmcompressor'), 'torch', torch.__version__)",
)
