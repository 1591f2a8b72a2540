"""Writes the logits of a window of tokens, for perplexity and divergence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modules.protocol.events import ScoreResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_logits(
    model: PreTrainedModel, device: torch.device, tokens: list[int], first: int, file: Path
) -> ScoreResult:
    """Write the logits that predict `tokens[first:]` to `file`; shape and answer are those of commands.Score."""
    begin = time.perf_counter()
    with torch.inference_mode():
        ids = torch.tensor([tokens], device=device)
        logits = model(input_ids=ids, use_cache=False, return_dict=True).logits[0, first - 1 : -1]
        rows = logits.float().cpu().contiguous().numpy()
    seconds = time.perf_counter() - begin
    rows.tofile(file)
    return {"rows": rows.shape[0], "vocabulary": rows.shape[1], "seconds": seconds}
