"""The builds of llama-cpp-python that are compiled here for graphics cards, where the toolkit is installed."""

from __future__ import annotations

from functools import partial

from modules.families.card_builds import compiler_obstacle
from modules.protocol.variants import Variant

_FINDS_CARD = (
    "import llama_cpp; llama_cpp.llama_supports_gpu_offload() "
    "or exit('llama.cpp finds no graphics card that it can use')"
)


def _compiled(name: str, title: str, compiler: str, package: str) -> Variant:
    obstacle = partial(compiler_obstacle, kind=name, compiler=compiler, package=package)
    return Variant(name, title, name, f"requirements-{name}.txt", (), obstacle, _FINDS_CARD)


VARIANTS = (
    _compiled("cuda", "CUDA", "nvcc", "the CUDA toolkit"),
    _compiled("rocm", "ROCm", "hipcc", "ROCm"),
    _compiled(
        "vulkan", "Vulkan", "glslc", "Vulkan's headers and glslc (apt install libvulkan-dev glslc spirv-headers)"
    ),
)
