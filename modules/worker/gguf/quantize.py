"""What both quantizers of GGUF files do first: read the model, and choose each tensor's type and importance."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.families.gguf_quantization import GgufSettings, is_split, part_bytes, wanted_overrides
from modules.protocol.commands import Quantize
from modules.worker.engine import Report
from modules.worker.gguf.convert import read_source
from modules.worker.gguf.ggml import Ggml
from modules.worker.gguf.imatrix_file import check_importance, read_imatrix
from modules.worker.gguf.source import SourceModel
from modules.worker.gguf.tensor_types import choose_types, lossless_types
from modules.worker.gguf.type_rules import FILE_TYPES
from modules.worker.gguf.writer import PartLimit, write_gguf
from modules.worker.llama.imatrix import ImatrixComputer
from modules.worker.thread_count import processor_count

# The part of the work that an importance matrix takes, and within it a copy in full precision.
_COMPUTING, _COPYING = 0.7, 0.1


@dataclass(frozen=True)
class GgufPlan:
    """What is written. `kinds`: tensor name -> type; `importance`: tensor name -> its columns' importances."""

    model: SourceModel
    kinds: Mapping[str, str]
    importance: Mapping[str, array[float]]
    notes: list[str]
    file: Path
    limit: PartLimit | None
    threads: int
    begun: float  # the fraction of the work that is done


def plan_gguf(
    request: Quantize,
    settings: GgufSettings,
    ggml: Ggml,
    versions: dict[str, str],
    computer: Callable[[], ImatrixComputer],
    report: Report,
) -> GgufPlan:
    """Return what to write for `request`. An importance matrix is computed here. Raises PaddockError."""
    report("Reading the model", 0.0)
    source, target = Path(request.source), Path(request.target)
    row_bytes = ggml.row_bytes if settings.requantize else None
    model = read_source(source, request.name, {**request.card, "versions": versions}, row_bytes)
    model.metadata.whole("general.file_type", FILE_TYPES[settings.type][0])
    threads = thread_count(settings.threads)
    wants, computes = settings.imatrix != "none", settings.imatrix == "auto"
    kinds = choose_types(model, settings.type, ggml.block, wants, wanted_overrides(settings))
    notes: list[str] = []
    importance = None
    if computes:
        copy = None if source.is_file() else target / "whole.gguf"
        if copy:
            write_gguf(model, lossless_types(model), copy, ggml, part_of(report, 0.0, _COPYING), threads)
        computing = part_of(report, _COPYING, _COMPUTING)
        text = str(request.card.get("calibration", {}).get("source", ""))
        beside = source if copy else source.parent
        importance, notes = computer().compute(copy or source, beside, request.calibration, text, settings, computing)
        if copy:
            copy.unlink()
    elif wants:
        importance = read_imatrix(Path(settings.imatrix))
    if importance:
        importance.note(model.metadata)
    fitting = check_importance(model, kinds, importance)
    notes += fallback_notes(settings.type, kinds, ggml.block, {entry.name: entry.columns for entry in model.tensors})
    size = part_bytes(settings)
    limit = PartLimit(size, settings.split_tensors) if is_split(settings) else None
    file = target / f"{request.name}.gguf"
    return GgufPlan(model, kinds, fitting, notes, file, limit, threads, _COMPUTING if computes else 0.0)


def part_of(report: Report, begin: float, end: float) -> Report:
    """Return a function that reports fractions as a part of those that `report` gets."""
    return lambda step, part: report(step, None if part is None else begin + part * (end - begin))


def thread_count(wanted: int) -> int:
    """Return the threads to quantize with: those wanted, else all cores of this process but one."""
    return wanted or max(1, processor_count() - 1)


def fallback_notes(
    file_type: str, kinds: Mapping[str, str], block: Callable[[str], int], columns: Mapping[str, int]
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
