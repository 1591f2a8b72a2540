"""Quantizations that no loader here reads yet: what each is called, and which programs read it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.library.json_files import as_object, as_text, positive_int, positive_number
from modules.library.quantization import Quantization
from modules.library.safetensors import TensorInfo

_VLLM = "vLLM on an NVIDIA card"
# quant_method -> (its name, who reads it).
_KNOWN = {
    "fp8": ("scaled floats of 8 bits", f"{_VLLM}, SGLang, or Transformers there"),
    "fbgemm_fp8": ("FBGEMM fp8", f"{_VLLM}, or Transformers with fbgemm-gpu"),
    "compressed-tensors": ("compressed-tensors", f"{_VLLM}, or Transformers with the package compressed-tensors"),
    "mxfp4": ("MXFP4", f"{_VLLM}, or Transformers with the package kernels; llama.cpp reads its GGUF version"),
    "modelopt": ("NVIDIA's ModelOpt", f"{_VLLM}, TensorRT-LLM or SGLang"),
    "modelopt_fp4": ("NVIDIA's ModelOpt (NVFP4)", f"{_VLLM}, TensorRT-LLM or SGLang"),
    "aqlm": ("AQLM", "Transformers with the package aqlm"),
    "quip": ("QuIP#", "the program QuIP# itself"),
    "quip_sharp": ("QuIP#", "the program QuIP# itself"),
    "spqr": ("SpQR", "Transformers with the package spqr_quant"),
    "higgs": ("HIGGS", "Transformers with the package flute-kernel"),
    "eetq": ("EETQ", "Transformers with the package eetq"),
    "torchao": ("torchao", f"Transformers with the package torchao, or {_VLLM}"),
    "vptq": ("VPTQ", "Transformers with the package vptq"),
    "bitnet": ("BitNet", "Transformers, or bitnet.cpp"),
    "quark": ("AMD's Quark", "vLLM, or Transformers with the package amd-quark"),
    "auto-round": ("AutoRound", f"{_VLLM}, or Transformers with the package auto-round"),
    "intel/auto-round": ("AutoRound", f"{_VLLM}, or Transformers with the package auto-round"),
    "quanto": ("quanto", "Transformers with the package optimum-quanto"),
    "fp_quant": ("FP-Quant", "Transformers with the package fp_quant"),
    "exl3": ("EXL3", "ExLlamaV3"),
    "sinq": ("SINQ", "Transformers with the package sinq"),
    "marlin": ("GPTQ laid out for Marlin", _VLLM),
}


def cannot_read(claim: Quantization, methods: tuple[str, ...]) -> str:
    """Why weights quantized by another method than those in `methods` cannot be loaded, and what could."""
    title, readers = _KNOWN.get(claim.method, ("", ""))
    name = (claim.method or "an unnamed method") + (f" ({title})" if title.lower() not in ("", claim.method) else "")
    elsewhere = f" Elsewhere, {readers} can read it." if readers else ""
    return (
        f"The weights are quantized with {name}, which no loader here reads.{elsewhere} Get the model in full "
        f"precision, as GGUF, or quantized with one of: {', '.join(methods)}."
    )


def read_method_config(config: Mapping[str, Any], method: str) -> Quantization | None:
    """Bits and group size where such a method's configuration keeps them. None for a method that is not known here."""
    if method not in _KNOWN:
        return None
    weights = _weights(config)
    bits = (
        positive_number(weights.get("num_bits"))
        or positive_number(config.get("bits"))
        or positive_number(config.get("num_bits"))
    )
    algorithm = as_text(config.get("quant_algo")) or as_text(as_object(config.get("quantization")).get("quant_algo"))
    if not bits:
        fixed = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.25, "eetq": 8.0, "modelopt_fp4": 4.5}
        bits = fixed.get(method, 0.0) or {"FP8": 8.0, "NVFP4": 4.5, "W4A16_AWQ": 4.0}.get(algorithm.upper(), 0.0)
    keys = ("format", "fmt", "activation_scheme", "quant_type", "weight_block_size", "weights", "packing_format")
    extra = [(key, str(config[key])) for key in keys if isinstance(config.get(key), (str, int, list))]
    extra += [("quant_algo", algorithm)] if algorithm else []
    extra += [("weight type", as_text(weights.get("type")))] if as_text(weights.get("type")) else []
    size = positive_int(weights.get("group_size")) or positive_int(config.get("group_size"))
    return Quantization(method, bits, size, extra=tuple(extra))


def _weights(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What compressed-tensors, ModelOpt and Quark say of the weights: those of the first group of layers."""
    groups = as_object(config.get("config_groups")) or as_object(config.get("layer_quant_config"))
    group = next((value for value in groups.values() if isinstance(value, dict)), None) or as_object(
        config.get("global_quant_config")
    )
    return as_object(group.get("weights") or group.get("weight"))


def method_in_tensors(tensors: Mapping[str, TensorInfo]) -> tuple[str, str]:
    """(a method that the tensors' names and types show, an example), where no configuration names any; else "", ""."""
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if info.kind.startswith("F8_E") and last == "weight":
            return "fp8", f"{name} is {info.kind}"
        if last == "weight_packed" and f"{base}.weight_scale" in tensors:
            return "compressed-tensors", f"{name} beside its weight_scale"
        if last.endswith("_blocks") and f"{base}.{last.removesuffix('_blocks')}_scales" in tensors:
            return "mxfp4", f"{name} beside its scales"
        if last == "trellis":
            return "exl3", name
    return "", ""
