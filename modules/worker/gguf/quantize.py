"""Quantizes a model to one GGUF file with ggml's own functions, by llama.cpp's rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.protocol.commands import Quantize
from modules.worker.engine import Report
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.tensor_types import FILE_TYPES, choose_types
from modules.worker.gguf.writer import write_gguf


def quantize_gguf(request: Quantize, settings: Any, ggml: Ggml, version: dict[str, str], report: Report) -> list[str]:
    """Write `request.target`/NAME.gguf in the type `settings.type`. Return notes: sentences about the result."""
    report("Reading the model", 0.0)
    model = read_source(Path(request.source), request.name, {**request.card, "versions": version})
    model.metadata.whole("general.file_type", FILE_TYPES[settings.type][0])
    kinds = choose_types(model, settings.type, ggml.block)
    file = Path(request.target) / f"{request.name}.gguf"
    write_gguf(model, kinds, file, ggml, report, thread_count(settings.threads))
    return fallback_notes(settings.type, kinds, ggml.block, {entry.name: entry.columns for entry in model.tensors})


def thread_count(wanted: int) -> int:
    """Return the threads to quantize with: those wanted, else all cores of this process but one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or max(1, cores - 1)


def fallback_notes(
    file_type: str, kinds: dict[str, str], block: Callable[[str], int], columns: dict[str, int]
) -> list[str]:
    """Return a sentence that names how many tensors got a larger type because of their shape."""
    default = FILE_TYPES[file_type][1]
    odd = [name for name, kind in kinds.items() if kind != "F32" and columns[name] % block(default)]
    if not odd:
        return []
    note = (
        f"{len(odd)} of {len(kinds)} tensors have rows that blocks of {block(default)} do not divide, such as "
        f"{odd[0]} with {columns[odd[0]]} columns. They got a type with smaller blocks, so the file is larger."
    )
    return [note]
