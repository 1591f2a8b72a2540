"""The builds of PyTorch that loaders with torch can be installed with."""

from __future__ import annotations

from modules.families.card_builds import CudaBuild, RocmBuild
from modules.protocol.variants import Variant

_PINS = "requirements.txt"
# torch names ROCm's cards "cuda" too.
_FINDS_CARD = (
    "import torch; torch.cuda.is_available() or exit('torch finds no graphics card that it can use'); "
    "torch.zeros(8, device='cuda').sum().item()"
)

# PyTorch's builds bring CUDA or ROCm along, so only the driver counts. The first has code from Turing on, the second
# for cards before Blackwell.
CUDA_13 = Variant(
    "cuda13", "CUDA 13.0", "cuda", _PINS, ("--torch-backend", "cu130"), CudaBuild("13.0", "7.5").obstacle, _FINDS_CARD
)
CUDA_12 = Variant(
    "cuda12",
    "CUDA 12.6",
    "cuda",
    _PINS,
    ("--torch-backend", "cu126"),
    CudaBuild("12.6", "5.0", "9.0").obstacle,
    _FINDS_CARD,
)
ROCM = Variant("rocm", "ROCm 7.2", "rocm", _PINS, ("--torch-backend", "rocm7.2"), RocmBuild().obstacle, _FINDS_CARD)

CUDA_VARIANTS = (CUDA_13, CUDA_12)
TORCH_VARIANTS = (*CUDA_VARIANTS, ROCM)
