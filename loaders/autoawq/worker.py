"""The Transformers engine on AWQ folders, through AutoAWQ."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

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


class Engine(HfEngine):
    """The architectures that AutoAWQ knows."""

    def load_model(self, path: Path, settings: Settings, report: Report) -> tuple[Any, Any]:
        config = convert_to_transformers_4(read_json(path / "config.json"))
        claim = read_quantization(path, config)
        files = weight_files(path)
        check_packing(path, files, claim, ("awq",), (4,), "AutoAWQ")
        layout = str(claim.get("version", "gemm")).lower()
        if layout != "gemm":
            raise ModelError(
                f"{path.name} is laid out for AWQ's {layout} kernel, which needs CUDA code that is not here. "
                "Choose the GPTQModel loader."
            )
        config["quantization_config"] = claim
        tokenizer = load_tokenizer(path)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        report("Importing AutoAWQ", None)
        # It says at every import that it was given up.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from awq import AutoAWQForCausalLM
        from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

        if config.get("model_type") not in AWQ_CAUSAL_LM_MODEL_MAP:
            raise ModelError(
                f"AutoAWQ does not know the architecture {config.get('model_type')}. Choose the GPTQModel loader."
            )
        options = device_placement(settings, self.offload_folder() if settings.disk_offload else "")
        kernel = _kernel(settings)
        packs = settings.kernel in ("auto", "int4") and _can_pack(settings)
        with stage_folder(path, config) as stage:
            write_rope_scaling(stage, settings, trusted)
            report("Loading the packed weights", None)
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
            report("Packing the weights for this processor", None)
            int4.repack_layers(loaded.model)
        _halve_scales(loaded.model)
        return loaded.model, tokenizer


def _dtype(settings: Settings, packs: bool) -> Any:
    """AutoAWQ's own products are in float16 whatever is asked for; the rest of the model may be in another type."""
    import torch

    return torch.float16 if settings.dtype == "auto" and not packs else pick_dtype(settings.dtype, settings.device_map)


def _halve_scales(model: Any) -> None:
    """They are loaded in the model's type, and AutoAWQ's products fail with any but float16."""
    for module in model.modules():
        if type(module).__name__ == "WQLinear_GEMM":
            module.scales = module.scales.half()


def _on_gpu(settings: Settings) -> bool:
    import torch

    return settings.device_map != "cpu" and bool(torch.cuda.is_available())


def _can_pack(settings: Settings) -> bool:
    return not _on_gpu(settings) and int4.int4_supported()


def _kernel(settings: Settings) -> dict[str, bool]:
    """The flags that choose a kernel. Raises SettingError for one that is not here."""
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
        # Where the best device is the CPU it insists on Intel's extension of torch, and needs none for this kernel.
        base.get_best_device = lambda: "meta"
    if not on_gpu or settings.kernel == "torch":
        gemm.TRITON_AVAILABLE = False
    return {"use_exllama": settings.kernel == "exllama", "use_exllama_v2": settings.kernel == "exllamav2"}
