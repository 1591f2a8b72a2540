"""Quantization methods that Paddock knows by name: their usual names, readers, and how to read their configuration.

Detection reports every method, also one that is missing here. Which methods are read is declared by the loaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from modules.library.json_files import as_object, as_text, positive_int, positive_number
from modules.library.safetensors import TensorInfo

_VLLM = "vLLM on an NVIDIA card"
# quant_method -> (its usual name, programs that read it).
KNOWN_METHODS = {
    "fp8": ("8-bit floating point with scales", f"{_VLLM}, SGLang, or Transformers there"),
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


# Bits of a weight with its scales, for methods whose configuration does not say them.
_FIXED_BITS = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.25, "eetq": 8.0, "modelopt_fp4": 4.5}
_ALGORITHM_BITS = {"FP8": 8.0, "NVFP4": 4.5, "W4A16_AWQ": 4.0}
_SHOWN_KEYS = (
    *("format", "fmt", "activation_scheme", "quant_type", "weight_block_size", "weights", "packing_format"),
    "head_bits",
)


class MethodConfig(NamedTuple):
    """What the configuration of a method says. Values of 0 are unknown; `extra` is only shown."""

    bits: float
    group_size: int
    extra: tuple[tuple[str, str], ...]


def describe_method(method: str) -> tuple[str, str]:
    """Return (`method` with its usual name in parentheses, the programs that read it); "" for what is not known."""
    title, readers = KNOWN_METHODS.get(method, ("", ""))
    name = method or "a method that the files do not name"
    return name + (f" ({title})" if title.lower() not in ("", method) else ""), readers


def read_method_config(config: Mapping[str, object], method: str) -> MethodConfig:
    """Return bits and group size from where a method of KNOWN_METHODS keeps them."""
    weights = _weights_config(config)
    bits = next(
        (
            value
            for source, key in ((weights, "num_bits"), (config, "bits"), (config, "num_bits"))
            if (value := positive_number(source.get(key)))
        ),
        0.0,
    )
    algorithm = as_text(config.get("quant_algo")) or as_text(as_object(config.get("quantization")).get("quant_algo"))
    bits = bits or _FIXED_BITS.get(method, 0.0) or _ALGORITHM_BITS.get(algorithm.upper(), 0.0)
    extra = [(key, str(config[key])) for key in _SHOWN_KEYS if isinstance(config.get(key), (str, int, list))]
    extra += [("quant_algo", algorithm)] if algorithm else []
    if kind := as_text(weights.get("type")):
        extra.append(("weight type", kind))
    if kind := as_text(as_object(_first_group(config).get("input_activations")).get("type")):
        extra.append(("activation type", kind))
    size = positive_int(weights.get("group_size")) or positive_int(config.get("group_size"))
    return MethodConfig(bits, size, tuple(extra))


def _first_group(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return what compressed-tensors, ModelOpt and Quark say of the first group of layers."""
    groups = as_object(config.get("config_groups")) or as_object(config.get("layer_quant_config"))
    group = next((value for value in groups.values() if isinstance(value, dict)), None)
    return group or as_object(config.get("global_quant_config"))


def _weights_config(config: Mapping[str, object]) -> Mapping[str, object]:
    group = _first_group(config)
    return as_object(group.get("weights") or group.get("weight"))


def method_in_tensors(tensors: Mapping[str, TensorInfo]) -> tuple[str, str]:
    """Return (a method that the tensors' names and types show, an example of them), or ("", "")."""
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if info.kind.startswith("F8_E") and last == "weight":
            return "fp8", f"{name} is {info.kind}"
        if last == "weight_packed" and f"{base}.weight_scale" in tensors:
            return "compressed-tensors", f"{name} with its weight_scale"
        if last.endswith("_blocks") and f"{base}.{last.removesuffix('_blocks')}_scales" in tensors:
            return "mxfp4", f"{name} with its scales"
        if last == "trellis":
            return "exl3", name
    return "", ""
