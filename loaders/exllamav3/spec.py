"""What the exllamav3 loader declares: EXL3 models are made here, and are for programs that read EXL3."""

from __future__ import annotations

from loaders.exllamav3.quantization import EXL3
from modules.families.no_models import NoSettings, claim_nothing
from modules.protocol.loader_spec import LoaderSpec

SPEC = LoaderSpec(
    name="exllamav3",
    title="ExLlamaV3",
    summary="Makes EXL3 models on NVIDIA cards, for other programs: no loader of Paddock reads EXL3 yet.",
    formats=(),
    settings=NoSettings,
    claim=claim_nothing,
    accelerators=("cuda",),
    requirements="requirements.txt",
    quantizers=(EXL3,),
    # Does not import the engine, whose first import compiles CUDA kernels for minutes. The first job shows that.
    probe="import importlib.metadata as found, tokenizers, torch, transformers; "
    "assert torch.cuda.is_available(), 'torch sees no CUDA device'; print(found.version('exllamav3'))",
)
