"""Makes AWQ models with AutoAWQ, on a GPU or on a CPU."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.awq_quantization import AwqSettings
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.hf.layer_quantizer import LayerQuantizer
from modules.worker.hf.model_files import has_consent
from modules.worker.hf.quantized_folder import progress_instead_of_tqdm

if TYPE_CHECKING:
    from awq.models.base import BaseAWQForCausalLM
    from transformers import PreTrainedTokenizerBase


class Quantizer(LayerQuantizer):
    """Quantizes layer after layer."""

    title, packages = "AutoAWQ", ("autoawq", "transformers", "torch")

    def load(self, folder: Path, model_type: str, settings: AwqSettings) -> BaseAWQForCausalLM:
        import torch

        # It says at every import that it is no longer maintained.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from awq import AutoAWQForCausalLM
        from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

        if model_type not in AWQ_CAUSAL_LM_MODEL_MAP:
            raise ModelError(
                f"AutoAWQ does not know the architecture {model_type}. Install the GPTQModel loader, whose AWQ knows "
                "more."
            )
        on_gpu = torch.cuda.is_available()
        return AutoAWQForCausalLM.from_pretrained(
            str(folder),
            safetensors=True,
            device_map="auto" if on_gpu else "cpu",
            # Most processors have no arithmetic for 16 bits.
            torch_dtype=torch.float16 if on_gpu else torch.float32,
            trust_remote_code=has_consent("PADDOCK_TRUST_REMOTE_CODE"),
        )

    def quantize_layers(
        self,
        model: BaseAWQForCausalLM,
        tokenizer: PreTrainedTokenizerBase,
        rows: list[list[int]],
        settings: AwqSettings,
        report: Report,
    ) -> None:
        quantizer = importlib.import_module("awq.quantize.quantizer")
        layers = progress_instead_of_tqdm("Quantizing layer", lambda text, part: report(text, 0.05 + 0.9 * (part or 0)))
        vars(quantizer)["tqdm"] = layers
        model.quantize(
            tokenizer,
            quant_config={
                "zero_point": settings.zero_point,
                "q_group_size": settings.group_size,
                "w_bit": settings.bits,
                "version": settings.version,
            },
            calib_data=rows,
            max_calib_samples=settings.samples,
            # It cuts all samples together into pieces of this length, and fails where that gives none.
            max_calib_seq_len=min(settings.length, sum(map(len, rows))),
        )
