"""Logits for every token of a text, by the model's own forward pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from modules.protocol.events import ScoreResult


def write_logits(torch: Any, model: Any, tokens: list[int], first: int, file: Path) -> ScoreResult:
    """Write the logits that predict `tokens[first:]` to `file`, as commands.Score says. `torch` is the module.

    The engine computes in float16. Without a cache it reads all tokens in one step, so the cache's type has no part in
    the result, and cached chats stay. Only the batcher's thread may call it.
    """
    begin = time.perf_counter()
    with torch.inference_mode():
        logits = model.forward(torch.tensor([tokens], dtype=torch.long), {"attn_mode": "flash_attn_nc"})
        # The head is padded.
        rows = logits[0, first - 1 : -1, : int(model.config.vocab_size)].float().cpu().contiguous().numpy()
    seconds = time.perf_counter() - begin
    rows.tofile(file)
    return {"rows": rows.shape[0], "vocabulary": rows.shape[1], "seconds": seconds}
