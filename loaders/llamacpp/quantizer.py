"""Writes GGUF files with llama.cpp's own quantizer, llama_model_quantize."""

from __future__ import annotations

import ctypes
import importlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modules.protocol.commands import Quantize
from modules.protocol.errors import PaddockError
from modules.worker.engine import Report
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.quantize import fallback_notes, thread_count
from modules.worker.gguf.tensor_types import FILE_TYPES, choose_types, lossless_types
from modules.worker.gguf.trial import trial_seconds
from modules.worker.gguf.writer import write_gguf
from modules.worker.quantizer import Quantized, QuantizerBase

_STEP = re.compile(r"\[ *(\d+)/ *(\d+)\] +(\S+)")


class Quantizer(QuantizerBase):
    """GGUF files: converted without loss by Paddock, then quantized by llama.cpp."""

    def quantize(self, request: Quantize, settings: Any, report: Report) -> Quantized:
        versions = {"llama-cpp-python": version("llama-cpp-python")}
        lib: Any = importlib.import_module("llama_cpp.llama_cpp")
        ggml = Ggml(_ggml_library(lib))
        report("Reading the model", 0.0)
        model = read_source(Path(request.source), request.name, {**request.card, "versions": versions})
        number, default = FILE_TYPES[settings.type]
        model.metadata.whole("general.file_type", number)
        threads = thread_count(settings.threads)
        file = Path(request.target) / f"{request.name}.gguf"
        if default in ("F32", "F16", "BF16"):
            write_gguf(model, choose_types(model, settings.type, ggml.block), file, ggml, report, threads)
            return Quantized(versions)
        kinds, columns = lossless_types(model), {entry.name: entry.columns for entry in model.tensors}
        whole = Path(request.target) / "whole.gguf"
        write_gguf(model, kinds, whole, ggml, lambda step, part: report(step, 0.3 * (part or 0)), threads)
        self._quantize(lib, whole, file, number, threads, report)
        whole.unlink()
        return Quantized(versions, fallback_notes(settings.type, kinds, ggml.block, columns))

    def trial(self, source: Path, settings: Any) -> float | None:
        lib: Any = importlib.import_module("llama_cpp.llama_cpp")
        return trial_seconds(source, settings, Ggml(_ggml_library(lib)))

    def _quantize(self, lib: Any, whole: Path, file: Path, number: int, threads: int, report: Report) -> None:
        said: list[str] = []

        def listen(level: int, text: bytes, user_data: Any) -> None:
            line = text.decode("utf-8", "replace")
            said.append(line)
            if step := _STEP.search(line):
                report(f"Quantizing {step[3]}", 0.3 + 0.7 * (int(step[1]) - 1) / int(step[2]))

        # Kept in a name for as long as llama.cpp may call it.
        callback = lib.llama_log_callback(listen)
        lib.llama_log_set(callback, ctypes.c_void_p(0))
        params = lib.llama_model_quantize_default_params()
        params.ftype, params.nthread = number, threads
        status = lib.llama_model_quantize(str(whole).encode(), str(file).encode(), ctypes.byref(params))
        lib.llama_log_set(lib.llama_log_callback(lambda level, text, user_data: None), ctypes.c_void_p(0))
        if status != 0:
            raise PaddockError(
                "llama.cpp could not quantize this model. The details say why. Choose another type, or another method.",
                detail="".join(said[-30:]),
            )


def _ggml_library(lib: Any) -> str:
    """Return the path of ggml's base library, which lies beside llama.cpp's."""
    folder = Path(lib._lib._name).parent
    return str(next(path for path in sorted(folder.iterdir()) if "ggml-base" in path.name))
