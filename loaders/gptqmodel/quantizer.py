"""Makes GPTQ and AWQ models with GPTQModel, on a GPU or on a CPU."""

from __future__ import annotations

import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.gptqmodel.environment import prepare_environment
from modules.families.awq_quantization import AwqSettings
from modules.families.gptq_quantization import GptqSettings
from modules.protocol.commands import Quantize, TryQuantize
from modules.protocol.errors import ModelError
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.layer_trial import LayerRun, layer_bytes, layer_trial, trial_rows
from modules.worker.hf.model_files import check_folder, has_consent, load_tokenizer
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

if TYPE_CHECKING:
    from gptqmodel.models.base import BaseQModel

# Folder of the layers that are quantized, until all are.
_DONE = ".layers"
_PACKAGES = ("gptqmodel", "transformers", "torch")


class Quantizer(QuantizerBase):
    """Quantizes layer after layer, with calibration text."""

    def quantize(self, request: Quantize, settings: GptqSettings | AwqSettings, report: Report) -> Quantized:
        prepare_environment()
        source, target = Path(request.source), Path(request.target)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        layers = int(check_folder(source).get("num_hidden_layers") or 0)
        tokenizer = load_tokenizer(source)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, tokenizer, settings)
        report("Importing GPTQModel", 0.02)
        staged = stage_for_transformers(source, trusted)
        with staged as folder, out_of_memory_error("this model", (), type(settings)), load_error(source):
            # Layers that are done lie on the disk of the result: the folder for temporary files may be memory.
            done = target / _DONE
            model = self._load(folder, request.method, settings, trusted, str(done))
            report("Quantizing layer 1", 0.05)
            model.layer_callback = _LayerReport(layers, report)
            _quantize(model, rows)
            report("Saving the packed weights", 0.95)
            model.save(str(target))
            shutil.rmtree(done, ignore_errors=True)
        copy_companions(source, target)
        return Quantized({name: version(name) for name in _PACKAGES}, few_samples_note(rows, settings))

    def trial(self, request: TryQuantize, settings: GptqSettings | AwqSettings) -> Trial | None:
        prepare_environment()
        source = Path(request.source)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        check_folder(source)
        rows = trial_rows(request.calibration, source, load_tokenizer(source), settings)

        def run(folder: Path, some: list[list[int]]) -> LayerRun:
            model = self._load(folder, request.method, settings, trusted)
            held = layer_bytes(model.model)
            begin = time.perf_counter()
            _quantize(model, some)
            return LayerRun(time.perf_counter() - begin, held)

        with stage_for_transformers(source, trusted) as folder:
            return layer_trial(folder, rows, run)

    def _load(
        self, folder: Path, method: str, settings: GptqSettings | AwqSettings, trusted: bool, done: str | None = None
    ) -> BaseQModel:
        import torch
        from gptqmodel import GPTQModel, QuantizeConfig

        common = {"bits": settings.bits, "group_size": settings.group_size, "offload_to_disk_path": done}
        common["device"] = "cuda:0" if torch.cuda.is_available() else "cpu"
        if isinstance(settings, GptqSettings):
            config = QuantizeConfig(
                **common, desc_act=settings.desc_act, sym=settings.sym, damp_percent=settings.damp_percent
            )
        else:
            from gptqmodel.quantization import FORMAT, METHOD

            kind = {"GEMM": FORMAT.GEMM, "GEMV": FORMAT.GEMV}[settings.version]
            config = QuantizeConfig(**common, method=METHOD.AWQ, format=kind, sym=not settings.zero_point)
        try:
            return GPTQModel.load(str(folder), config, trust_remote_code=trusted)
        except ValueError as error:
            if "failed to auto-detect" not in str(error):
                raise
            raise ModelError(
                "GPTQModel does not know the layers of this model's architecture, such as those of state-space models. "
                "Choose another method, such as gguf or hqq.",
                detail=str(error),
            ) from error


def _quantize(model: BaseQModel, rows: list[list[int]]) -> None:
    # It wants plain tables.
    model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)


class _LayerReport:
    """Reports each layer that GPTQModel has finished."""

    def __init__(self, layers: int, report: Report) -> None:
        self._layers, self._report = max(1, layers), report

    def layer_complete(self, *, layer_idx: int, submodule_finalized: bool, **_: object) -> None:
        if submodule_finalized:
            done = min(layer_idx + 1, self._layers)
            self._report(f"Quantized layer {done} of {self._layers}", 0.05 + 0.9 * done / self._layers)
