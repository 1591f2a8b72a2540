"""Makes GPTQ models with AutoGPTQ, on a GPU or on a CPU."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.gptq_quantization import GptqSettings
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.hf.layer_quantizer import LayerQuantizer
from modules.worker.hf.model_files import has_consent

if TYPE_CHECKING:
    from auto_gptq.modeling import BaseGPTQForCausalLM


class Quantizer(LayerQuantizer):
    """Quantizes layer after layer. The distribution is auto-gptq, the package auto_gptq."""

    title, packages = "AutoGPTQ", ("auto-gptq", "transformers", "torch")

    def load(self, folder: Path, model_type: str, settings: GptqSettings) -> BaseGPTQForCausalLM:
        """Return AutoGPTQ's wrapper of the model.

        Its own from_pretrained refuses to work without CUDA, and trusts the code of any model.
        """
        import torch
        from auto_gptq import BaseQuantizeConfig
        from auto_gptq.modeling.auto import GPTQ_CAUSAL_LM_MODEL_MAP
        from transformers import AutoModelForCausalLM

        if model_type not in GPTQ_CAUSAL_LM_MODEL_MAP:
            raise ModelError(
                f"AutoGPTQ does not know the architecture {model_type}. Leave --loader out: GPTQModel knows more."
            )
        model = AutoModelForCausalLM.from_pretrained(
            str(folder),
            # Most processors have no arithmetic for 16 bits.
            torch_dtype=torch.float16 if torch.cuda.is_available() else torch.float32,
            local_files_only=True,
            trust_remote_code=has_consent("PADDOCK_TRUST_REMOTE_CODE"),
        ).eval()
        config = BaseQuantizeConfig(
            bits=settings.bits,
            group_size=settings.group_size,
            damp_percent=settings.damp_percent,
            desc_act=settings.desc_act,
            sym=settings.sym,
            model_file_base_name="model",
        )
        return GPTQ_CAUSAL_LM_MODEL_MAP[model_type](model, False, config)

    def quantize_layers(
        self,
        model: BaseGPTQForCausalLM,
        tokenizer: object,
        rows: list[list[int]],
        settings: GptqSettings,
        report: Report,
    ) -> None:
        with _layers_reported(report), _on_this_device():
            model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows])


@contextmanager
def _on_this_device() -> Iterator[None]:
    """Let AutoGPTQ compute on the CPU where there is no GPU: it names CUDA, but its arithmetic is torch's."""
    import torch
    from auto_gptq.modeling import _base

    if torch.cuda.is_available():
        yield
        return
    device, synchronize = _base.CUDA_0, torch.cuda.synchronize
    _base.CUDA_0, torch.cuda.synchronize = torch.device("cpu"), lambda: None
    try:
        yield
    finally:
        _base.CUDA_0, torch.cuda.synchronize = device, synchronize


@contextmanager
def _layers_reported(report: Report) -> Iterator[None]:
    """Report each layer that AutoGPTQ names in its log."""
    from auto_gptq.modeling import _base

    handler = _LayerHandler(report)
    _base.logger.addHandler(handler)
    try:
        yield
    finally:
        _base.logger.removeHandler(handler)


class _LayerHandler(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        found = re.match(r"Start quantizing layer (\d+)/(\d+)", record.getMessage())
        if found:
            number, layers = int(found[1]), int(found[2])
            self._report(f"Quantizing layer {number} of {layers}", 0.05 + 0.9 * (number - 1) / layers)
