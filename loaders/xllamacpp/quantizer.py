"""Writes GGUF files with the functions of ggml inside xllamacpp's library."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from loaders.xllamacpp.library import library_path
from modules.protocol.commands import Quantize
from modules.worker.engine import Report
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.quantize import quantize_gguf
from modules.worker.gguf.trial import trial_seconds
from modules.worker.quantizer import Quantized, QuantizerBase


class Quantizer(QuantizerBase):
    """GGUF files by llama.cpp's rules. The library does not export llama_model_quantize, so Paddock applies them."""

    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        versions = {"xllamacpp": version("xllamacpp")}
        notes = quantize_gguf(request, settings, Ggml(library_path()), versions, report)
        return Quantized(versions, notes)

    def trial(self, source: Path, settings: Any) -> float | None:
        return trial_seconds(source, settings, Ggml(library_path()))
