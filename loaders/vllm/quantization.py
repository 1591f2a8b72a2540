"""Which quantized weights vLLM reads. Standard library only."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping
from pathlib import Path

from modules.protocol.model_facts import ModelFacts, unsupported_bits_reason

# Bits per weight that vLLM reads, where it does not read all.
_BITS = {"gptq": (2, 3, 4, 8), "awq": (4,)}


def format_problem(facts: ModelFacts) -> str:
    """Return why vLLM cannot read the weights; "" if it can.

    Methods of vLLM 0.32: vllm/model_executor/layers/quantization/__init__.py.
    """
    bits = _BITS.get(facts.format, ())
    if bits and facts.bits not in (0, *bits):
        return unsupported_bits_reason("vLLM", facts, bits)
    if facts.format in ("fp8", "mxfp4", "compressed-tensors") and not any(
        source.startswith("config.json") for source in facts.sources("method")
    ):
        return (
            f"config.json does not say that the weights are {facts.format}, and vLLM cannot read them without that. "
            "Download the model's config.json again."
        )
    if facts.format == "mxfp4" and not facts.sources("experts"):
        return "vLLM reads MXFP4 only in the experts of a mixture of experts. Choose another version of this model."
    return ""


def config_problem(config: Mapping[str, object], features: frozenset[str]) -> str:
    """Return what `processor_problem` does for the weights that a model's config.json describes."""
    found = config.get("quantization_config")
    if not isinstance(found, dict):
        return ""
    bits = [_bits(group, "weights") for group in _groups(found)]
    return processor_problem(str(found.get("quant_method")), 4 if 4 in bits else 8, features)


def _groups(found: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the groups of layers of compressed-tensors."""
    groups = found.get("config_groups")
    return [one for one in groups.values() if isinstance(one, dict)] if isinstance(groups, dict) else []


def _bits(group: Mapping[str, object], kind: str) -> object:
    """Return the bits of a group's "weights" or "input_activations", None if it does not give them."""
    part = group.get(kind)
    return part.get("num_bits") if isinstance(part, dict) else None


def processor_problem(form: str, bits: float, features: frozenset[str]) -> str:
    """Return why vLLM's build for the CPU cannot compute with weights of this format here; "" if it can.

    `features`: of the processor, as `cpu_features` returns them.
    """
    # vllm/model_executor: kernels/linear/scaled_mm/cpu.py and layers/fused_moe/experts/cpu_moe.py
    if form in ("fp8", "mxfp4") and "amx_tile" not in features:
        return (
            f"vLLM reads {form.upper()} weights on an NVIDIA card, or on a CPU with AMX, which this CPU does not have."
        )
    # kernels/linear/mixed_precision/cpu.py; vLLM's library for processors with AVX2 has no such product.
    packed = form in ("gptq", "awq") or (form == "compressed-tensors" and bits == 4)
    if packed and platform.machine() in ("x86_64", "AMD64") and "avx512f" not in features:
        return (
            "vLLM reads weights of 4 bits on an NVIDIA card, or on a CPU with AVX512, which this CPU does not have. "
            "Choose another loader."
        )
    return ""


def computed_dtype(config: Mapping[str, object], dtype: str, features: frozenset[str]) -> str:
    """Return the dtype in which vLLM's build for the CPU can compute where `dtype` is asked for.

    With AMX, its product of 8-bit weights and 8-bit inputs takes no float32 (kernels/linear/scaled_mm/cpu.py).
    """
    found = config.get("quantization_config")
    groups = _groups(found) if isinstance(found, dict) else []
    is_w8a8 = any(_bits(one, "weights") == 8 == _bits(one, "input_activations") for one in groups)
    return "bfloat16" if dtype == "float32" and is_w8a8 and "amx_tile" in features else dtype


def allow_amx() -> None:
    """Ask the system to let this process use AMX, where the processor has it.

    vLLM's attention in bfloat16 uses AMX and does not ask (v1/attention/backends/cpu_attn.py): the process would end
    with SIGILL.
    """
    importlib.import_module("torch").cpu._init_amx()


def cpu_features() -> frozenset[str]:
    """Return what Linux says that this machine's processor has, such as "avx512f"; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(next((words.split() for name, _, words in lines if name.strip() in ("flags", "Features")), ()))
