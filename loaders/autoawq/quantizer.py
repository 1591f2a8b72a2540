"""Makes AWQ models with AutoAWQ, on a GPU or on a CPU."""

from __future__ import annotations

import importlib
import time
import warnings
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
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions, progress_instead_of_tqdm
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

_PACKAGES = ("autoawq", "transformers", "torch")


class Quantizer(QuantizerBase):
    """Quantizes layer after layer, with calibration text."""

    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        tokenizer = load_tokenizer(source)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, tokenizer, settings)
        staged = stage_folder(source, config)
        with staged as folder, out_of_memory_error("this model", (), type(settings)), load_error(source):
            report("Importing AutoAWQ", 0.02)
            model = _load(folder, str(config.get("model_type")))
            _quantize(model, tokenizer, rows, settings, report)
            model.model.half()
            report("Saving the packed weights", 0.95)
            model.save_quantized(str(target))
        copy_companions(source, target)
        return Quantized({name: version(name) for name in _PACKAGES}, few_samples_note(rows, settings))

    def trial(self, request: TryQuantize, settings: Any) -> Trial | None:
        source = Path(request.source)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        tokenizer = load_tokenizer(source)
        rows = trial_rows(request.calibration, source, tokenizer, settings)

        def run(folder: Path, some: list[list[int]]) -> LayerRun:
            model = _load(folder, str(config.get("model_type")))
            held = layer_bytes(model.model)
            begin = time.perf_counter()
            _quantize(model, tokenizer, some, settings, lambda text, fraction: None)
            return LayerRun(time.perf_counter() - begin, held)

        with stage_folder(source, config) as folder:
            return layer_trial(folder, rows, run)


def _load(folder: Path, model_type: str) -> Any:
    import torch

    # It says at every import that it is no longer maintained.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from awq import AutoAWQForCausalLM
    from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

    if model_type not in AWQ_CAUSAL_LM_MODEL_MAP:
        raise ModelError(
            f"AutoAWQ does not know the architecture {model_type}. Install the GPTQModel loader, whose AWQ knows more."
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


def _quantize(model: Any, tokenizer: Any, rows: list[list[int]], settings: Any, report: Report) -> None:
    quantizer: Any = importlib.import_module("awq.quantize.quantizer")
    layers = progress_instead_of_tqdm("Quantizing layer", lambda text, part: report(text, 0.05 + 0.9 * (part or 0)))
    quantizer.tqdm = layers
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
