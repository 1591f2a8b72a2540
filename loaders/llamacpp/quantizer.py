"""Writes GGUF files with llama.cpp's own quantizer, llama_model_quantize."""

from __future__ import annotations

import ctypes
import importlib
import re
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from modules.families.gguf_quantization import GgufSettings, wanted_overrides
from modules.families.gguf_tensor_types import FULL_PRECISION, TYPES
from modules.protocol.commands import Quantize, TryQuantize
from modules.protocol.errors import PaddockError
from modules.worker.engine import Report
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.gguf_file import read_gguf
from modules.worker.gguf.quantize import GgufPlan, part_of, plan_gguf, thread_count
from modules.worker.gguf.source import SourceModel
from modules.worker.gguf.tensor_types import lossless_types
from modules.worker.gguf.trial import gguf_trial
from modules.worker.gguf.type_rules import FILE_TYPES
from modules.worker.gguf.writer import write_gguf
from modules.worker.llama.imatrix import ImatrixComputer
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

_STEP = re.compile(r"\[ *(\d+)/ *(\d+)\] +(\S+)")


class Quantizer(QuantizerBase):
    """GGUF files: converted without loss by Paddock, then quantized by llama.cpp."""

    def quantize(self, request: Quantize, settings: GgufSettings, report: Report) -> Quantized:
        versions = {"llama-cpp-python": version("llama-cpp-python")}
        lib: ModuleType = importlib.import_module("llama_cpp.llama_cpp")
        ggml = Ggml(_ggml_library(lib, "ggml-base"))

        def computer() -> ImatrixComputer:
            libraries = [_ggml_library(lib, name) for name in ("ggml-base", "ggml-cpu")]
            return ImatrixComputer(lib, libraries, thread_count(settings.threads))

        plan = plan_gguf(request, settings, ggml, versions, computer, report)
        number, default = FILE_TYPES[settings.type]
        if default in FULL_PRECISION:
            writing = part_of(report, plan.begun, 1.0)
            write_gguf(plan.model, plan.kinds, plan.file, ggml, writing, plan.threads, limit=plan.limit)
            return Quantized(versions, plan.notes)
        middle = plan.begun + 0.3 * (1 - plan.begun)
        whole = Path(request.source)
        if copies := not _is_whole(whole, plan.model):
            whole = plan.file.with_name("whole.gguf")
            copying = part_of(report, plan.begun, middle)
            write_gguf(plan.model, lossless_types(plan.model), whole, ggml, copying, plan.threads)
        # The card is in the metadata of the copy. A file that was read where it lies gets it afterwards.
        is_final = copies and not plan.limit
        made = plan.file if is_final else plan.file.with_name("made.gguf")
        self._quantize(lib, whole, made, plan, settings, number, part_of(report, middle, 1.0))
        if copies:
            whole.unlink()
        if is_final:
            return Quantized(versions, plan.notes)
        model = read_gguf(made, ggml.row_bytes)
        model.metadata.encoded.update(plan.model.metadata.encoded)
        same = {entry.name: entry.kind for entry in model.tensors}
        write_gguf(
            model, same, plan.file, ggml, lambda step, part: report("Writing the file", 0.99), 1, limit=plan.limit
        )
        made.unlink()
        return Quantized(versions, plan.notes)

    def trial(self, request: TryQuantize, settings: GgufSettings) -> Trial | None:
        lib: ModuleType = importlib.import_module("llama_cpp.llama_cpp")
        return gguf_trial(Path(request.source), settings, Ggml(_ggml_library(lib, "ggml-base")))

    def _quantize(
        self,
        lib: ModuleType,
        whole: Path,
        made: Path,
        plan: GgufPlan,
        settings: GgufSettings,
        number: int,
        report: Report,
    ) -> None:
        said: list[str] = []

        def listen(level: int, text: bytes, user_data: object) -> None:
            line = text.decode("utf-8", "replace")
            said.append(line)
            if step := _STEP.search(line):
                report(f"Quantizing {step[3]}", (int(step[1]) - 1) / int(step[2]))

        # Kept in a name for as long as llama.cpp may call it.
        callback = lib.llama_log_callback(listen)
        lib.llama_log_set(callback, ctypes.c_void_p(0))
        params = lib.llama_model_quantize_default_params()
        params.ftype, params.nthread = number, plan.threads
        params.allow_requantize = settings.requantize
        wanted = wanted_overrides(settings)
        if wanted.output:
            params.output_tensor_type = TYPES[wanted.output]
        if wanted.embedding:
            params.token_embedding_type = TYPES[wanted.embedding]
        matched = [(entry.name, wanted.matching(entry.name)) for entry in plan.model.tensors]
        # Exact names, so that a pattern means the same with both quantizers.
        names = [(f"^{name.replace('.', chr(92) + '.')}$".encode(), TYPES[kind]) for name, kind in matched if kind]
        # Arrays that end with an entry without a name.
        overrides = (lib.llama_model_tensor_override * (len(names) + 1))(*names)
        floats = {name: (ctypes.c_float * len(own)).from_buffer(own) for name, own in plan.importance.items()}
        entries = [
            (name.encode(), ctypes.cast(own, ctypes.POINTER(ctypes.c_float)), len(own)) for name, own in floats.items()
        ]
        matrix = (lib.llama_model_imatrix_data * (len(entries) + 1))(*entries)
        if names:
            params.tt_overrides = overrides
        if settings.imatrix != "none":
            params.imatrix = matrix
        status = lib.llama_model_quantize(str(whole).encode(), str(made).encode(), ctypes.byref(params))
        lib.llama_log_set(lib.llama_log_callback(lambda level, text, user_data: None), ctypes.c_void_p(0))
        if status != 0:
            raise PaddockError(
                "llama.cpp could not quantize this model. The details say why. Choose another type, or another method.",
                detail="".join(said[-30:]),
            )


def _is_whole(source: Path, model: SourceModel) -> bool:
    """Return True if llama.cpp can read the source as it is: one GGUF file, whose small tensors are in F32."""
    kinds = lossless_types(model)
    return (
        source.is_file() and len(model.mapped) == 1 and all(kinds[entry.name] == entry.kind for entry in model.tensors)
    )


def _ggml_library(lib: ModuleType, name: str) -> str:
    """Return the path of one of ggml's libraries, which lie beside llama.cpp's."""
    folder = Path(lib._lib._name).parent
    return str(next(path for path in sorted(folder.iterdir()) if name in path.name))
