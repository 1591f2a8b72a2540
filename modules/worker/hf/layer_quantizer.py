"""The frame of quantizers that read a whole model and quantize it layer after layer, in Transformers 4."""

from __future__ import annotations

import time
from abc import abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modules.protocol.commands import Quantize, TryQuantize
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.layer_trial import LayerRun, layer_bytes, layer_trial, trial_rows
from modules.worker.hf.model_files import check_folder, load_tokenizer, read_json
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder
from modules.worker.quantizer import Quantized, QuantizerBase, Trial


class LayerQuantizer(QuantizerBase):
    """Quantizes with calibration text. The whole model is in main memory.

    `title`: the library's name for people; `packages`: distributions whose versions the result names.
    """

    title: str
    packages: tuple[str, ...]

    @abstractmethod
    def load(self, folder: Path, model_type: str, settings: Any) -> Any:
        """Return the library's wrapper of the model, with `model` and `save_quantized`. Raises ModelError."""

    @abstractmethod
    def quantize_layers(self, model: Any, tokenizer: Any, rows: list[list[int]], settings: Any, report: Report) -> None:
        """Quantize the wrapped model. `rows`: tokens to calibrate with. Report from 0.05 to 0.95."""

    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        tokenizer = load_tokenizer(source)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, tokenizer, settings)
        staged = stage_folder(source, config)
        with staged as folder, out_of_memory_error("this model", (), type(settings)), load_error(source):
            report(f"Importing {self.title}", 0.02)
            model = self.load(folder, str(config.get("model_type")), settings)
            self.quantize_layers(model, tokenizer, rows, settings, report)
            # Scales have the type of the arithmetic, which on a CPU is float32.
            model.model.half()
            report("Saving the packed weights", 0.95)
            model.save_quantized(str(target))
        copy_companions(source, target)
        return Quantized({name: version(name) for name in self.packages}, few_samples_note(rows, settings))

    def trial(self, request: TryQuantize, settings: Any) -> Trial | None:
        source = Path(request.source)
        check_folder(source)
        config = convert_to_transformers_4(read_json(source / "config.json"))
        tokenizer = load_tokenizer(source)
        rows = trial_rows(request.calibration, source, tokenizer, settings)

        def run(folder: Path, some: list[list[int]]) -> LayerRun:
            model = self.load(folder, str(config.get("model_type")), settings)
            held = layer_bytes(model.model)
            begin = time.perf_counter()
            self.quantize_layers(model, tokenizer, some, settings, lambda text, fraction: None)
            return LayerRun(time.perf_counter() - begin, held)

        with stage_folder(source, config) as folder:
            return layer_trial(folder, rows, run)
