"""The Transformers engine for AWQ folders, with AutoAWQ."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.autoawq import int4
from loaders.autoawq.fuse import fuse_projections
from loaders.autoawq.spec import Settings
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
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Engine(HfEngine):
    """Loads the architectures that AutoAWQ supports."""

    def load_model(
        self, path: Path, settings: Settings, report: Report
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        config = convert_to_transformers_4(read_json(path / "config.json"))
        claim = read_quantization(path, config)
        files = weight_files(path)
        check_packing(path, files, claim, ("awq",), (4,), "AutoAWQ")
        layout = str(claim.get("version", "gemm")).lower()
        if layout != "gemm":
            raise ModelError(
                f"{path.name} uses the layout of AWQ's {layout} kernel, which needs CUDA code that is not installed. "
                "Choose the GPTQModel loader."
            )
        config["quantization_config"] = claim
        tokenizer = load_tokenizer(path)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        report("Importing AutoAWQ", None)
        # It warns at every import that it is no longer maintained.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from awq import AutoAWQForCausalLM
        from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

        if config.get("model_type") not in AWQ_CAUSAL_LM_MODEL_MAP:
            raise ModelError(
                f"AutoAWQ does not support the architecture {config.get('model_type')}. Choose the GPTQModel loader."
            )
        options = device_placement(settings, self.offload_folder() if settings.disk_offload else "")
        kernel = _kernel(settings)
        packs = settings.kernel in ("auto", "int4") and _can_pack(settings)
        with stage_folder(path, config) as stage:
            write_rope_scaling(stage, settings, trusted)
            report("Loading the quantized weights", None)
            loaded = AutoAWQForCausalLM.from_quantized(
                str(stage),
                max_seq_len=settings.context,
                fuse_layers=False,
                trust_remote_code=trusted,
                torch_dtype=_dtype(settings, packs),
                **kernel,
                **options,
            )
        check_complete(loaded.model, path, files)
        if settings.fuse_layers:
            report("Fusing layers", None)
            fuse_projections(loaded.model)
        if packs:
            report("Repacking the weights for this CPU", None)
            int4.repack_layers(loaded.model)
        _halve_scales(loaded.model)
        return loaded.model, tokenizer


def _dtype(settings: Settings, packs: bool) -> torch.dtype:
    """Return the type of the model. AutoAWQ's matrix products are always in float16."""
    import torch

    return torch.float16 if settings.dtype == "auto" and not packs else pick_dtype(settings.dtype, settings.device_map)


def _halve_scales(model: PreTrainedModel) -> None:
    """Convert the scales to float16, since AutoAWQ's matrix products fail with other types."""
    for module in model.modules():
        if type(module).__name__ == "WQLinear_GEMM":
            module.scales = module.scales.half()


def _on_gpu(settings: Settings) -> bool:
    import torch

    return settings.device_map != "cpu" and bool(torch.cuda.is_available())


def _can_pack(settings: Settings) -> bool:
    return not _on_gpu(settings) and int4.int4_supported()


def _kernel(settings: Settings) -> dict[str, bool]:
    """Return the flags that choose a kernel. Raises SettingError if it is not available."""
    from awq.models import base
    from awq.modules.linear import gemm

    on_gpu = _on_gpu(settings)
    packages = {"exllama": "exl_ext", "exllamav2": "exlv2_ext"}
    there = [name for name, package in packages.items() if on_gpu and importlib.util.find_spec(package)]
    packs = ["int4"] if _can_pack(settings) else []
    triton = ["triton"] if on_gpu and gemm.TRITON_AVAILABLE else []
    usable = ["auto", *packs, "torch", *triton, *there]
    if settings.kernel not in usable:
        raise SettingError(f"The kernel {settings.kernel} cannot run here. Set Kernel to {' or '.join(usable)}.")
    if not on_gpu:
        # On a CPU it requires Intel's extension for torch, which this kernel does not need.
        base.get_best_device = lambda: "meta"
    if not on_gpu or settings.kernel == "torch":
        gemm.TRITON_AVAILABLE = False
    return {"use_exllama": settings.kernel == "exllama", "use_exllama_v2": settings.kernel == "exllamav2"}
