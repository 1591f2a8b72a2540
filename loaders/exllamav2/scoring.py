"""Logits for every token of a text, by the model's own forward pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from loaders.exllamav2.loaded_model import LoadedModel
from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.events import ScoreResult


def write_logits(torch: Any, loaded: LoadedModel, tokens: list[int], first: int, file: Path) -> ScoreResult:
    """Write the logits that predict `tokens[first:]` to `file`, as commands.Score says. `torch` is the module.

    The engine computes in float16. Without a cache it reads all tokens in one step, so the cache's type has no part in
    the result, and cached chats stay. Only the batcher's thread may call it.
    """
    model, longest = loaded.model, int(loaded.model.config.max_input_len)
    if model.tp_context is not None:
        raise Unsupported(
            "ExLlamaV2 shows no logits with Tensor parallel. Evaluate without it: --set tensor_parallel=false"
        )
    if len(tokens) > longest:
        raise SettingError(
            f"ExLlamaV2 reads at most {longest} tokens in one step here, and this window has {len(tokens)}. "
            f"Lower it: --set window={longest}, or raise Batch: --set batch={len(tokens)}"
        )
    begin = time.perf_counter()
    ids = torch.tensor([tokens], dtype=torch.long)
    logits = model.forward(ids, cache=None, loras=loaded.generator.current_loras)
    # The head is padded to a multiple of 32.
    rows = logits[0, first - 1 : -1, : int(model.config.vocab_size)].float().cpu().contiguous().numpy()
    seconds = time.perf_counter() - begin
    rows.tofile(file)
    return {"rows": rows.shape[0], "vocabulary": rows.shape[1], "seconds": seconds}
