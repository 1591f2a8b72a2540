"""Writes GGUF files with the functions of ggml inside xllamacpp's library."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from loaders.xllamacpp.library import library_path
from modules.families.gguf_quantization import GgufSettings
from modules.protocol.commands import Quantize, TryQuantize
from modules.worker.engine import Report
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.quantize import part_of, plan_gguf, thread_count
from modules.worker.gguf.trial import gguf_trial
from modules.worker.gguf.writer import write_gguf
from modules.worker.llama.imatrix import ImatrixComputer
from modules.worker.llama.llama_abi import load_library
from modules.worker.quantizer import Quantized, QuantizerBase, Trial


class Quantizer(QuantizerBase):
    """GGUF files by llama.cpp's rules. The library does not export llama_model_quantize, so Paddock applies them."""

    def quantize(self, request: Quantize, settings: GgufSettings, report: Report) -> Quantized:
        versions = {"xllamacpp": version("xllamacpp")}
        library = library_path()
        ggml = Ggml(library)

        def computer() -> ImatrixComputer:
            return ImatrixComputer(load_library(library), [library], thread_count(settings.threads))

        plan = plan_gguf(request, settings, ggml, versions, computer, report)
        writing = part_of(report, plan.begun, 1.0)
        write_gguf(plan.model, plan.kinds, plan.file, ggml, writing, plan.threads, plan.importance, plan.limit)
        return Quantized(versions, plan.notes)

    def trial(self, request: TryQuantize, settings: GgufSettings) -> Trial | None:
        return gguf_trial(Path(request.source), settings, Ggml(library_path()))
