"""Progress while HQQ packs matrices. Transformers 4 has no progress bar for that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modules.worker.engine import Report
from modules.worker.hf.auto_class import TOWERS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Modules whose matrices stay as they are.
UNPACKED = ["lm_head", *TOWERS]


def matrices(model: PreTrainedModel) -> int:
    """Return how many matrices of `model` HQQ packs. The model needs no weights."""
    import torch

    linear = [path for path, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return sum(not any(name in path for name in UNPACKED) for path in linear)


@contextlib.contextmanager
def packing_progress(report: Report, words: str, total: int) -> Iterator[None]:
    """Report each matrix that HQQ packs, of `total`."""
    from hqq.core.quantize import HQQLinear
    from transformers.utils import logging

    logging.disable_progress_bar()
    quantize, done = HQQLinear.quantize, 0

    def counted(layer: object, *args: object, **options: object) -> None:
        nonlocal done
        quantize(layer, *args, **options)
        done += 1
        report(words, min(1.0, done / max(1, total)))

    HQQLinear.quantize = counted
    try:
        yield
    finally:
        HQQLinear.quantize = quantize
