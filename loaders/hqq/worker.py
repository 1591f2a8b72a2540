"""The Transformers engine for weights that HQQ quantizes while loading, or has saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.hqq.progress import UNPACKED, matrices, packing_progress
from loaders.hqq.spec import Settings
from modules.protocol.errors import ModelError, SettingError
from modules.worker.engine import Report
from modules.worker.hf.auto_class import text_class
from modules.worker.hf.load_options import device_placement, pick_dtype, with_rope
from modules.worker.hf.model_files import check_folder, has_consent, load_tokenizer, missing_tensor_error, read_json
from modules.worker.hf.staged_folder import convert_to_transformers_4, read_quantization, stage_folder
from modules.worker.hf.transformers_engine import HfEngine

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_SAVED = "qmodel.pt"


class Engine(HfEngine):
    """Loads the causal language models of Transformers 4."""

    def check(self, path: Path) -> None:
        """Check that the files are there. HQQ's save is a pickle, which is read with torch's weights_only."""
        if not (path / _SAVED).is_file():
            check_folder(path)
        elif not (path / "config.json").is_file():
            raise ModelError(f"{path.name} has no config.json beside {_SAVED}. Copy the whole folder into models/.")

    def load_model(
        self, path: Path, settings: Settings, report: Report
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        report("Importing HQQ", None)
        config = convert_to_transformers_4(read_json(path / "config.json"))
        method = str(read_quantization(path, config).get("quant_method", "hqq")).lower()
        if method != "hqq":
            raise ModelError(
                f"{path.name} is packed by {method.upper()} already, and HQQ takes whole weights or its own. "
                "Choose another loader."
            )
        tokenizer = load_tokenizer(path)
        with stage_folder(path, config) as stage:
            if (path / _SAVED).is_file():
                model = _saved(stage, settings, report)
            else:
                model = self._packed(stage, settings, report, "quantization_config" in config)
        _set_compute_dtype(model, pick_dtype(settings.dtype, settings.device_map))
        return model, tokenizer

    def _packed(self, stage: Path, settings: Settings, report: Report, already: bool) -> PreTrainedModel:
        import torch
        from transformers import AutoConfig, HqqConfig

        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        config = AutoConfig.from_pretrained(str(stage), local_files_only=True, trust_remote_code=trusted)
        options = device_placement(settings, self.offload_folder() if settings.disk_offload else "")
        options["dtype"] = pick_dtype(settings.dtype, settings.device_map)
        if settings.attention != "auto":
            options["attn_implementation"] = settings.attention
        if not already:
            _check_groups(config, settings)
            options["quantization_config"] = HqqConfig(
                nbits=settings.bits,
                group_size=settings.group_size,
                axis=settings.axis,
                skip_modules=UNPACKED,
            )
        words = "Loading and quantizing the weights"
        report(words, None)
        with torch.device("meta"):
            total = 0 if already else matrices(text_class(config).from_config(config, trust_remote_code=trusted))
        with packing_progress(report, words, total):
            model, found = text_class(config).from_pretrained(
                str(stage),
                config=with_rope(config, settings),
                local_files_only=True,
                trust_remote_code=trusted,
                output_loading_info=True,
                **options,
            )
        _complete(model, found["missing_keys"])
        return model


def _saved(stage: Path, settings: Settings, report: Report) -> PreTrainedModel:
    """Load a folder that HQQ saved: config.json and qmodel.pt."""
    import torch
    from hqq.models.hf.base import AutoHQQHFModel

    report("Loading the quantized weights", None)
    device = device_placement(settings, "")["device_map"]
    place = "cuda" if device != {"": "cpu"} and torch.cuda.is_available() else "cpu"
    return AutoHQQHFModel.from_quantized(
        str(stage), compute_dtype=pick_dtype(settings.dtype, settings.device_map), device=place
    )


def _set_compute_dtype(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Set one compute type for all layers. A saved layer otherwise keeps the type with which it was quantized."""
    from hqq.core.quantize import HQQLinear
    from torch.nn import Linear

    for layer in model.modules():
        if type(layer) is Linear and layer.weight.device.type != "meta":
            layer.to(dtype)  # What is not packed (lm_head) comes in the type of the file.
        elif isinstance(layer, HQQLinear):
            layer.compute_dtype = dtype
            for part in (layer.meta, layer.meta.get("meta_scale"), layer.meta.get("meta_zero")):
                if part:
                    part["compute_dtype"] = dtype
                    part.update({key: part[key].to(dtype) for key in ("scale", "zero") if _floating(part.get(key))})


def _floating(value: Tensor | None) -> bool:
    return value is not None and hasattr(value, "is_floating_point") and bool(value.is_floating_point())


def _check_groups(config: PretrainedConfig, settings: Settings) -> None:
    """Raise SettingError if the group size does not divide a width. HQQ would fail in the middle of the load."""
    text = config.get_text_config()
    for name in ("hidden_size", "intermediate_size"):
        size = int(getattr(text, name, 0) or 0)
        if size % settings.group_size:
            raise SettingError(
                f"Group size {settings.group_size} does not divide this model's {name} of {size}. "
                f"Set it to {_largest_divisor(size)}."
            )


def _largest_divisor(size: int) -> int:
    return max(group for group in (8, 16, 32, 64, 128, 256, 512, 1024) if size % group == 0 or group == 8)


def _complete(model: PreTrainedModel, missing: Iterable[str]) -> None:
    """Raise if weights are missing. Transformers also lists those that HQQ quantizes, which are not on "meta"."""
    import torch

    absent = [name for name, weight in model.named_parameters() if weight.device == torch.device("meta")]
    if absent and set(absent) & set(missing):
        raise missing_tensor_error("The weights", absent)
