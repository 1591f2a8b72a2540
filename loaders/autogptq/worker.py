"""The Transformers engine for GPTQ folders, with AutoGPTQ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loaders.autogptq.spec import Settings
from modules.protocol.errors import ModelError, SettingError
from modules.worker.engine import Report
from modules.worker.hf.load_options import device_placement, pick_dtype
from modules.worker.hf.model_files import has_consent, load_tokenizer, read_json, weight_files
from modules.worker.hf.packed_weights import check_complete, check_packing
from modules.worker.hf.staged_folder import (
    convert_to_transformers_4,
    read_quantization,
    stage_folder,
    write_rope_scaling,
)
from modules.worker.hf.transformers_engine import HfEngine

if TYPE_CHECKING:
    import torch
    from auto_gptq import BaseQuantizeConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BITS = (2, 3, 4, 8)


class Engine(HfEngine):
    """Loads the architectures that AutoGPTQ supports."""

    def load_model(
        self, path: Path, settings: Settings, report: Report
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        config = convert_to_transformers_4(read_json(path / "config.json"))
        claim = read_quantization(path, config)
        files = weight_files(path)
        check_packing(path, files, claim, ("gptq",), _BITS, "AutoGPTQ")
        layout = str(claim.get("checkpoint_format", "gptq"))
        if layout != "gptq":
            raise ModelError(
                f"{path.name} is laid out as {layout}, which AutoGPTQ does not read. Choose the GPTQModel loader."
            )
        config.pop("quantization_config", None)
        tokenizer = load_tokenizer(path)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        report("Importing AutoGPTQ", None)
        from auto_gptq import AutoGPTQForCausalLM
        from auto_gptq.modeling._const import SUPPORTED_MODELS

        if config.get("model_type") not in SUPPORTED_MODELS:
            raise ModelError(
                f"AutoGPTQ does not support the architecture {config.get('model_type')}. Choose the GPTQModel loader."
            )
        # A single file gets the name that AutoGPTQ expects.
        renamed = {files[0].name: "model.safetensors"} if len(files) == 1 else {}
        with stage_folder(path, config, renamed) as stage:
            write_rope_scaling(stage, settings, trusted)
            report("Loading the quantized weights", None)
            loaded = AutoGPTQForCausalLM.from_quantized(
                str(stage),
                quantize_config=_quantize_config(claim, settings),
                torch_dtype=_dtype(settings),
                use_safetensors=True,
                trust_remote_code=trusted,
                local_files_only=True,
                **_kernel(settings, int(claim["bits"])),
                **_placement(settings),
            )
        check_complete(loaded.model, path, files)
        return loaded.model, tokenizer


def _quantize_config(claim: Mapping[str, Any], settings: Settings) -> BaseQuantizeConfig:
    """Return AutoGPTQ's configuration. It is built here, since AutoGPTQ's reader fails on keys of newer quantizers."""
    from auto_gptq import BaseQuantizeConfig

    act_order = {"yes": True, "no": False}.get(settings.act_order, bool(claim.get("desc_act", True)))
    return BaseQuantizeConfig(
        bits=int(claim["bits"]),
        group_size=int(claim.get("group_size", -1)),
        desc_act=act_order,
        sym=bool(claim.get("sym", True)),
    )


def _dtype(settings: Settings) -> torch.dtype:
    """Return the type of the model. AutoGPTQ's GPU kernels need float16."""
    import torch

    on_gpu = settings.device_map != "cpu" and torch.cuda.is_available()
    return torch.float16 if on_gpu and settings.dtype == "auto" else pick_dtype(settings.dtype, settings.device_map)


def _kernel(settings: Settings, bits: int) -> dict[str, bool]:
    """Return the flags that choose a kernel. Raises SettingError if it is not available."""
    import torch
    from auto_gptq.utils import import_utils

    there = {
        "torch": True,
        "triton": import_utils.TRITON_AVAILABLE,
        "exllama": import_utils.EXLLAMA_KERNELS_AVAILABLE and bits == 4,
        "exllamav2": import_utils.EXLLAMAV2_KERNELS_AVAILABLE and bits == 4,
    }
    on_gpu = settings.device_map != "cpu" and torch.cuda.is_available()
    usable = [name for name, is_there in there.items() if is_there and (on_gpu or name == "torch")]
    if settings.kernel not in ("auto", *usable):
        raise SettingError(
            f"The kernel {settings.kernel} cannot run this model here. Set Kernel to {' or '.join(['auto', *usable])}."
        )
    best = next((name for name in ("exllamav2", "exllama") if name in usable), "torch")
    chosen = best if settings.kernel == "auto" else settings.kernel
    return {
        "use_triton": chosen == "triton",
        "disable_exllama": chosen != "exllama",
        "disable_exllamav2": chosen != "exllamav2",
    }


def _placement(settings: Settings) -> dict[str, object]:
    if settings.disk_offload:
        raise SettingError("AutoGPTQ keeps no layers on disk. Turn Offload to disk off.")
    options = device_placement(settings, "")
    return {"device": "cpu"} if options["device_map"] == {"": "cpu"} else options
