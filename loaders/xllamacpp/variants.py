"""The builds of xllamacpp for graphics cards. Its own index has them; its README says what each has code for."""

from __future__ import annotations

from modules.families.card_builds import CudaBuild, RocmBuild, vulkan_obstacle
from modules.protocol.variants import Variant

_GLIBC = "2.35"
_RDNA_2_AND_3 = ("gfx1030", "gfx1031", "gfx1032", "gfx1100", "gfx1101", "gfx1102")
_NEWER = ("gfx1150", "gfx1151", "gfx1200", "gfx1201", "gfx950")
_CUDA_13 = CudaBuild("13.2", "7.5", native=("7.5", "8.6", "8.9", "12.0", "12.1"), glibc=_GLIBC)
_CUDA_12 = CudaBuild("12.8", "5.0", native=("8.6", "8.9", "12.0"), glibc=_GLIBC)
_FINDS_CARD = (
    "import xllamacpp; any(device['name'] != 'CPU' for device in xllamacpp.get_device_info()) "
    "or exit('llama.cpp finds no graphics card that it can use')"
)

VARIANTS = (
    Variant("cuda13", "CUDA 13.2", "cuda", "requirements-cuda13.txt", (), _CUDA_13.obstacle, _FINDS_CARD),
    Variant("cuda12", "CUDA 12.8", "cuda", "requirements-cuda12.txt", (), _CUDA_12.obstacle, _FINDS_CARD),
    Variant(
        "rocm7",
        "ROCm 7",
        "rocm",
        "requirements-rocm7.txt",
        (),
        RocmBuild(7, (*_RDNA_2_AND_3, *_NEWER), _GLIBC).obstacle,
        _FINDS_CARD,
    ),
    Variant(
        "rocm6",
        "ROCm 6",
        "rocm",
        "requirements-rocm6.txt",
        (),
        RocmBuild(6, _RDNA_2_AND_3, _GLIBC).obstacle,
        _FINDS_CARD,
    ),
    Variant("vulkan", "Vulkan", "vulkan", "requirements-vulkan.txt", (), vulkan_obstacle, _FINDS_CARD),
)
