"""How long a GGUF file will take to write, from a trial on a part of one tensor of each pair of types."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modules.families.gguf_quantization import GgufSettings, wanted_overrides
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.imatrix_file import check_importance
from modules.worker.gguf.quantize import thread_count
from modules.worker.gguf.source import SourceTensor
from modules.worker.gguf.tensor_types import choose_types
from modules.worker.quantizer import Trial

# Weights of each pair of types that one thread converts: some tenths of a second.
_WEIGHTS = 1 << 19


def gguf_trial(source: Path, settings: GgufSettings, ggml: Ggml) -> Trial | None:
    """Return how long converting and quantizing all tensors will take, without those of the disk.

    The speed depends on the types and hardly on the shape, so the largest tensor of each pair of types stands for all
    of them. None where an importance matrix is computed, which takes longer. Raises ModelError as the job would.
    """
    if settings.imatrix == "auto":
        return None
    weighted = settings.imatrix != "none"
    model = read_source(source, source.stem, {}, ggml.row_bytes if settings.requantize else None)
    kinds = choose_types(model, settings.type, ggml.block, weighted, wanted_overrides(settings))
    if not weighted:
        check_importance(model, kinds, None)  # ggml would end the process
    groups: dict[tuple[str, str], list[SourceTensor]] = {}
    for entry in model.tensors:
        groups.setdefault((entry.kind, kinds[entry.name]), []).append(entry)
    threads = thread_count(settings.threads)
    seconds = 0.0
    with ThreadPoolExecutor(threads, thread_name_prefix="trial") as pool:
        for (_, kind), tensors in groups.items():
            largest = max(tensors, key=lambda entry: entry.rows * entry.columns)
            whole = sum(entry.rows * entry.columns for entry in tensors)
            count, spent = _try(largest, kind, ggml, pool, threads, weighted)
            seconds += spent * whole / count
    return Trial(seconds)


def _try(
    tensor: SourceTensor, kind: str, ggml: Ggml, pool: ThreadPoolExecutor, threads: int, weighted: bool
) -> tuple[int, float]:
    """Convert the beginning of a tensor. Return how many weights that were, and the seconds that all threads took.

    `weighted`: with an importance matrix, whose numbers do not change the time.
    """
    importance = (ctypes.c_float * tensor.columns)(*[1.0] * tensor.columns) if weighted else None
    step = max(1, min(-(-tensor.rows // threads), _WEIGHTS // tensor.columns))
    begins = [at for at in range(0, tensor.rows, step)][:threads]

    def convert(begin: int) -> int:
        rows = min(step, tensor.rows - begin)
        floats = ggml.to_floats(tensor.kind, tensor.read(begin, begin + rows), rows * tensor.columns)
        if kind != "F32":
            ggml.quantize(kind, floats, rows, tensor.columns, importance)
        return rows * tensor.columns

    begin = time.perf_counter()
    count = sum(pool.map(convert, begins))
    return count, time.perf_counter() - begin
