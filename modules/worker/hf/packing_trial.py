"""How long a method that packs matrix after matrix will take, from a trial on a part of the first layer's largest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from modules.worker.hf.model_files import check_folder, read_header, weight_files
from modules.worker.quantizer import Trial

if TYPE_CHECKING:
    from torch import Tensor

# Weights that are tried, and those that are packed first, which loads what the library needs.
_WEIGHTS, _WARM_UP = 1 << 22, 1 << 14
_LAYER = re.compile(r"(?:^|\.)(\d+)\..*weight$")


def packing_trial(source: Path, pack: Callable[[Tensor], object]) -> Trial | None:
    """Return how long `pack` takes for all matrices of the layers; None where no layer is found.

    `pack` is called with matrices of torch, [rows, columns].
    """
    check_folder(source)
    shapes: dict[str, tuple[Path, list[int]]] = {}
    for file in weight_files(source):
        if file.suffix == ".safetensors":
            entries = {name: entry for name, entry in read_header(file).items() if _LAYER.search(name)}
            shapes.update({name: (file, entry["shape"]) for name, entry in entries.items() if len(entry["shape"]) == 2})
    first = [name for name in shapes if (found := _LAYER.search(name)) and found[1] == "0"]
    if not first:
        return None
    name = max(first, key=lambda name: prod(shapes[name][1]))
    file, (rows, columns) = shapes[name]
    with safe_open(str(file), "pt") as tensors:
        matrix = tensors.get_slice(name)[: max(1, min(rows, _WEIGHTS // columns))]
    pack(matrix[: max(1, _WARM_UP // columns)])
    begin = time.perf_counter()
    pack(matrix)
    seconds = time.perf_counter() - begin
    return Trial(seconds * sum(prod(shape) for _, shape in shapes.values()) / int(matrix.numel()))
