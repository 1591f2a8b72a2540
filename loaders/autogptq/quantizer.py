"""Makes GPTQ models with AutoGPTQ, on a GPU or on a CPU."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modules.protocol.commands import Quantize, TryQuantize
from modules.protocol.errors import ModelError
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.layer_trial import LayerRun, layer_bytes, layer_trial, trial_rows
from modules.worker.hf.model_files import check_folder, has_consent, load_tokenizer, read_json
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

# The distribution is auto-gptq, the package auto_gptq.
_PACKAGES = ("auto-gptq", "transformers", "torch")


class Quantizer(QuantizerBase):
    """Quantizes layer after layer, with calibration text. The whole model is in main memory."""

    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        tokenizer = load_tokenizer(source)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, tokenizer, settings)
        staged = stage_folder(source, config)
        with staged as folder, out_of_memory_error("this model", (), type(settings)), load_error(source):
            report("Importing AutoGPTQ", 0.02)
            model = _load(folder, str(config.get("model_type")), settings)
            with _layers_reported(report):
                _quantize(model, rows)
            # Scales have the type of the arithmetic, which on a CPU is float32.
            model.model.half()
            report("Saving the packed weights", 0.95)
            model.save_quantized(str(target))
        copy_companions(source, target)
        return Quantized({name: version(name) for name in _PACKAGES}, few_samples_note(rows, settings))

    def trial(self, request: TryQuantize, settings: Any) -> Trial | None:
        source = Path(request.source)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        rows = trial_rows(request.calibration, source, load_tokenizer(source), settings)

        def run(folder: Path, some: list[list[int]]) -> LayerRun:
            model = _load(folder, str(config.get("model_type")), settings)
            held = layer_bytes(model.model)
            begin = time.perf_counter()
            _quantize(model, some)
            return LayerRun(time.perf_counter() - begin, held)

        with stage_folder(source, config) as folder:
            return layer_trial(folder, rows, run)


def _load(folder: Path, model_type: str, settings: Any) -> Any:
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


def _quantize(model: Any, rows: list[list[int]]) -> None:
    with _on_this_device():
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
