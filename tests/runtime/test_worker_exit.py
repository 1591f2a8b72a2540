"""Deaths are classified by what is known; nothing is guessed. What is lowered is what the engine named."""

from __future__ import annotations

from typing import Any

import pytest

from loaders.echo.spec import BEHAVIOURS, SPEC
from modules.loading.lower_settings import lower_settings
from modules.protocol.schema import build, changed_values
from modules.runtime.worker_exit import classify


@pytest.mark.parametrize(
    ("status", "stderr", "kills", "intended", "cause", "words"),
    [
        (0, "", 0, True, "unloaded", "was unloaded"),
        (-9, "", 0, True, "unloaded", "was unloaded"),
        (-9, "", 1, False, "memory", "The system ended Echo because memory ran out"),
        (-9, "", 0, False, "killed", "killed by another process (SIGKILL)"),
        (-11, "", 0, False, "crashed", "crashed (SIGSEGV)"),
        (-6, "terminate called: std::bad_alloc", 0, False, "memory", "memory ran out"),
        (1, "torch.OutOfMemoryError: CUDA out of memory.", 0, False, "memory", "card's memory ran out"),
        (
            -6,
            "CUDA error: out of memory\n  current device: 0, in function alloc",
            0,
            False,
            "memory",
            "the card, lower",
        ),
        (
            -6,
            "what():  vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
            0,
            False,
            "memory",
            "card's memory ran out",
        ),
        *(
            (-6, line, 0, False, "memory", "card's memory ran out")
            for line in (
                "ggml_vulkan: Device memory allocation of size 1073741824 failed.",
                "what():  VK_ERROR_OUT_OF_DEVICE_MEMORY",
                "what():  vk::Queue::submit: ErrorOutOfHostMemory",
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                "cudaErrorMemoryAllocation",
                "HSA_STATUS_ERROR_OUT_OF_RESOURCES: The runtime failed to allocate the necessary resources.",
            )
        ),
        (-6, "CUDA error: an illegal memory access was encountered", 0, False, "crashed", "crashed (SIGABRT)"),
        (1, "CUDA 13.0\nMemoryError", 0, False, "memory", "Echo ended because memory ran out"),
        (1, "ImportError", 0, False, "ended", "exited with status 1"),
        (0, "", 0, False, "ended", "exited with status 0"),
        (-250, "", 0, False, "crashed", "signal 250"),
    ],
)
def test_a_death_gets_its_cause_and_a_sentence(
    status: int, stderr: str, kills: int, intended: bool, cause: str, words: str
) -> None:
    end = classify("Echo", status, tuple(stderr.splitlines()), intended=intended, kernel_kills=kills)
    assert end.cause == cause
    assert words in end.sentence
    assert intended or "text so far is kept" in end.sentence.lower()


def test_only_a_shortage_of_memory_names_settings_to_lower() -> None:
    crashed = classify("Echo", -11, (), intended=False, kernel_kills=0)
    killed = classify("Echo", -9, (), intended=False, kernel_kills=1)
    assert crashed.error(("context",)).lower == ()
    by_hand = classify("Echo", -9, (), intended=False, kernel_kills=0)
    assert killed.error(("context",)).lower == ("context",)
    assert by_hand.error(("context",)).lower == ()


def test_lowering_halves_numbers_to_their_minimum_and_moves_choices_on() -> None:
    def lowered(values: dict[str, Any], *names: str) -> dict[str, Any]:
        return changed_values(lower_settings(build(SPEC.settings, values), names))

    assert lowered({"context": 8192}, "context") == {}  # 4096, the default
    assert lowered({"context": 20}, "context") == {"context": 16}
    assert lowered({"on_load": "crash"}, "on_load") == {"on_load": "exit"}
    assert lowered({"on_load": BEHAVIOURS[-1]}, "on_load") == {"on_load": BEHAVIOURS[-1]}
    assert lowered({"delay": 1.0}, "context") == {"delay": 1.0, "context": 2048}
