"""How a folder's weights are quantized: what its configuration says, and what its tensors show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modules.library.json_files import as_object, as_text, positive_int, positive_number
from modules.library.known_quantizations import KNOWN_METHODS, read_method_config
from modules.library.safetensors import TensorInfo
from modules.protocol.model_facts import UNKNOWN

# Formats that name a kind of file. No quantization method may call itself by one of these names.
_FILE_FORMATS = frozenset({"gguf", "safetensors", "pickle", "remote", UNKNOWN})
_METHOD_NAME = re.compile(r"[a-z0-9][a-z0-9_./+-]{0,39}")


@dataclass(frozen=True)
class Quantization:
    """How the weights are quantized.

    `method` is the name in the files, in lower case ("gptq", "fp8", or one that Paddock does not know). Values of 0,
    None and "" are unknown. A `group_size` of -1 means that a group is a whole row. `extra` holds further
    (name, value) pairs, which are only shown.
    """

    method: str
    bits: float = 0
    group_size: int = 0
    act_order: bool | None = None
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def format(self) -> str:
        """ModelFacts.format of a model with such weights: the method's name, or UNKNOWN where it cannot be one."""
        usable = _METHOD_NAME.fullmatch(self.method) and self.method not in _FILE_FORMATS
        return self.method if usable else UNKNOWN


def quantization_in_config(config: Mapping[str, object], file: str) -> Quantization | None:
    """Return what a quantization_config, quantize_config.json or quant_config.json says; None if it is empty.

    `file` is the name of the file that `config` comes from.
    """
    if not config:
        return None
    method = as_text(config.get("quant_method")).lower()
    if not method:
        method = _guess_method(config, file)
    if method == "bitsandbytes":
        bits = 4.0 if config.get("load_in_4bit") is True else 8.0 if config.get("load_in_8bit") is True else 0.0
        return Quantization(method, bits, extra=_extra(config, "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"))
    if method == "hqq":
        weights = as_object(as_object(config.get("quant_config") or config).get("weight_quant_params"))
        return Quantization(method, positive_number(weights.get("nbits")), positive_int(weights.get("group_size")))
    if method in KNOWN_METHODS:
        found = read_method_config(config, method)
        return Quantization(method, found.bits, found.group_size, extra=found.extra)
    act_order = config.get("desc_act")
    return Quantization(
        method,
        positive_number(config.get("bits")) or positive_number(config.get("w_bit")),
        _group_size(config.get("group_size")) or _group_size(config.get("q_group_size")),
        act_order if isinstance(act_order, bool) else None,
        _extra(config, "zero_point", "sym", "version", "checkpoint_format", "format", "head_bits"),
    )


def _group_size(value: object) -> int:
    return -1 if value == -1 and not isinstance(value, bool) else positive_int(value)


def _guess_method(config: Mapping[str, object], file: str) -> str:
    """Return the method of a configuration that does not name it: the first AutoGPTQ and AutoAWQ did not."""
    if "w_bit" in config or "q_group_size" in config:
        return "awq"
    if "desc_act" in config or file == "quantize_config.json":
        return "gptq"
    if "load_in_4bit" in config or "load_in_8bit" in config:
        return "bitsandbytes"
    return "awq" if file == "quant_config.json" else ""


def _extra(config: Mapping[str, object], *keys: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(config[key])) for key in keys if isinstance(config.get(key), (str, bool, int, float)))


def quantization_in_tensors(tensors: Mapping[str, TensorInfo]) -> Quantization | None:
    """Return the packing that the tensors' names and shapes show; None if they are not packed.

    GPTQ packs along the input: qweight [in × bits / 32, out]. AWQ packs along the output: qweight
    [in, out × bits / 32]. Both have scales [groups, out] and qzeros [groups, out × bits / 32].
    """
    for name, info in tensors.items():
        base, _, last = name.rpartition(".")
        if last == "q_weight" and f"{base}.q_scale" in tensors:
            return Quantization("exl2")
        if last == "W_q":
            return Quantization("hqq")
        if last == "SCB":
            return Quantization("bitsandbytes", 8)
        if ".quant_state.bitsandbytes__" in name:
            return Quantization("bitsandbytes", 4)
        if last == "qweight" and (found := _packed_integers(base, info, tensors)):
            return found
    return None


def _packed_integers(base: str, weight: TensorInfo, tensors: Mapping[str, TensorInfo]) -> Quantization | None:
    scales, zeros = tensors.get(f"{base}.scales"), tensors.get(f"{base}.qzeros")
    shapes = [part.shape if part else () for part in (weight, scales, zeros)]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        return None
    (rows, columns), (groups, outputs), (_, packed) = shapes
    bits = 32 * packed / outputs
    if columns == outputs:
        return Quantization("gptq", bits, round(rows * 32 / bits / groups) if groups > 1 else -1)
    return Quantization("awq", bits, round(rows / groups) if groups > 1 else -1) if columns == packed else None
