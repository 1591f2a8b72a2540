"""Saves models that HQQ packed, in the layout that Transformers saves."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.hqq.progress import UNPACKED, matrices, packing_progress
from loaders.hqq.quantization import HqqSettings
from modules.protocol.commands import Quantize, TryQuantize
from modules.worker.engine import Report
from modules.worker.hf.auto_class import text_class
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.model_files import check_folder, has_consent, read_json
from modules.worker.hf.packable import check_packable
from modules.worker.hf.packing_trial import packing_trial
from modules.worker.hf.quantized_folder import copy_companions
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PACKAGES = ("hqq", "transformers", "torch")


class Quantizer(QuantizerBase):
    """Packs while loading, then saves: no calibration."""

    def quantize(self, request: Quantize, settings: HqqSettings, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        staged = stage_folder(source, config)
        with staged as folder, out_of_memory_error("this model", (), HqqSettings), load_error(source):
            model = self._packed(folder, settings, report)
        report("Saving the packed weights", 0.8)
        model.save_pretrained(str(target))
        copy_companions(source, target)
        return Quantized({name: version(name) for name in _PACKAGES if importlib.util.find_spec(name)})

    def trial(self, request: TryQuantize, settings: HqqSettings) -> Trial | None:
        import torch
        from hqq.core.quantize import Quantizer as HqqQuantizer

        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        shape = {"nbits": settings.bits, "group_size": settings.group_size, "axis": settings.axis}
        return packing_trial(Path(request.source), lambda matrix: HqqQuantizer.quantize(matrix, **shape, device=device))

    def _packed(self, folder: Path, settings: HqqSettings, report: Report) -> PreTrainedModel:
        import torch
        from transformers import AutoConfig, HqqConfig

        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=trusted)
        total = matrices(check_packable(config, trusted, (torch.nn.Linear,), "HQQ"))
        packing = HqqConfig(
            nbits=settings.bits,
            group_size=settings.group_size,
            axis=settings.axis,
            skip_modules=UNPACKED,
        )
        device = {"": 0} if torch.cuda.is_available() else {"": "cpu"}
        own = getattr(config, "dtype", None) or torch.float32
        with packing_progress(lambda text, part: report(text, 0.8 * (part or 0)), "Packing the weights", total):
            model = text_class(config).from_pretrained(
                str(folder),
                config=config,
                dtype=own,
                device_map=device,
                quantization_config=packing,
                local_files_only=True,
                trust_remote_code=trusted,
            )
        _halve_scales(model)
        # Transformers leaves what HQQ skips, such as the head, in 32 bits.
        for weight in model.parameters():
            if weight.is_floating_point() and weight.dtype != own:
                weight.data = weight.data.to(own)
        return model


def _halve_scales(model: PreTrainedModel) -> None:
    """Convert scales and zero points to float16, in which HQQ itself saves them; Transformers lets it compute in 32
    bits on a CPU. A layer with numbers that float16 cannot hold keeps them."""
    import torch
    from hqq.core.quantize import HQQLinear

    for layer in model.modules():
        if isinstance(layer, HQQLinear):
            halves = {key: layer.meta[key].half() for key in ("scale", "zero")}
            if all(bool(torch.isfinite(half).all()) for half in halves.values()):
                layer.meta.update(halves)
