"""Saves models that bitsandbytes packed to 8 or 4 bits."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.transformers.quantization import BitsAndBytesSettings
from modules.protocol.commands import Quantize, TryQuantize
from modules.worker.engine import Report
from modules.worker.hf.auto_class import text_class
from modules.worker.hf.bitsandbytes_config import packing_config
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.load_options import report_progress
from modules.worker.hf.model_files import check_folder, has_consent, missing_tensor_error
from modules.worker.hf.packable import check_linear_use, check_packable
from modules.worker.hf.packing_trial import packing_trial
from modules.worker.hf.quantized_folder import copy_companions
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_PACKAGES = ("bitsandbytes", "transformers", "torch")


class Quantizer(QuantizerBase):
    """Packs while loading, then saves: no calibration."""

    def quantize(self, request: Quantize, settings: BitsAndBytesSettings, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        check_folder(source)
        staged = stage_for_transformers(source, trusted)
        with staged as folder, out_of_memory_error("this model", (), BitsAndBytesSettings), load_error(source):
            model = self._packed(folder, settings, report, trusted)
        report("Saving the packed weights", 0.8)
        model.save_pretrained(str(target))
        copy_companions(source, target)
        return Quantized({name: version(name) for name in _PACKAGES})

    def trial(self, request: TryQuantize, settings: BitsAndBytesSettings) -> Trial | None:
        import torch
        from bitsandbytes import functional

        device = "cuda:0" if torch.cuda.is_available() else "cpu"

        def pack(matrix: Tensor) -> object:
            if settings.type == "int8":
                return functional.int8_vectorwise_quant(matrix.to(device, torch.float16))
            doubled = settings.double_quantization
            return functional.quantize_4bit(matrix.to(device), quant_type=settings.type, compress_statistics=doubled)

        return packing_trial(Path(request.source), pack)

    def _packed(self, folder: Path, settings: BitsAndBytesSettings, report: Report, trusted: bool) -> PreTrainedModel:
        import torch
        from transformers import AutoConfig
        from transformers.pytorch_utils import Conv1D

        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=trusted)
        check_linear_use(check_packable(config, trusted, (torch.nn.Linear, Conv1D), "bitsandbytes"))
        own = getattr(config, "dtype", None) or torch.float32
        compute = own if settings.compute_dtype == "auto" else getattr(torch, settings.compute_dtype)
        packing = packing_config(settings.type, compute, double_quantization=settings.double_quantization)
        device = {"": 0} if torch.cuda.is_available() else {"": "cpu"}
        words = "Packing the weights"
        with report_progress(lambda text, part: report(text, 0.8 * (part or 0)), words):
            model, found = text_class(config).from_pretrained(
                str(folder),
                config=config,
                dtype=own,
                device_map=device,
                quantization_config=packing,
                local_files_only=True,
                trust_remote_code=trusted,
                output_loading_info=True,
            )
        if missing := sorted(found["missing_keys"]):
            raise missing_tensor_error("The weights", missing)
        return model
