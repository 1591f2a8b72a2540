"""Transformers' own `generate` over a growing prompt, with its cache cut back to what both prompts have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import DynamicCache
from transformers.generation.streamers import BaseStreamer


class _Tokens(BaseStreamer):  # type: ignore[misc]
    """Yields once for each token that `generate` makes."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._prompt_is_through = False
        self.over = False

    def put(self, value: Any) -> None:
        if self._prompt_is_through:
            self._arrived.release()
        self._prompt_is_through = True

    def end(self) -> None:
        self.over = True
        self._arrived.release()

    def __iter__(self) -> Iterator[None]:
        while self._arrived.acquire() and not self.over:
            yield None


def streaming(model: Any, encode: Callable[[str], list[int]]) -> Callable[[str, int], Iterator[None]]:
    """`stream(prompt, count)` for `loop.serve`."""
    cache = DynamicCache()
    known: list[int] = []

    def stream(prompt: str, count: int) -> Iterator[None]:
        nonlocal cache, known
        ids = encode(prompt)
        common = min(len(os.path.commonprefix([ids, known])), len(ids) - 1)
        if (held := cache.get_seq_length()) > common:
            cache.crop(common - held)
        tokens = _Tokens()

        def run() -> None:
            nonlocal known
            inputs = torch.tensor([ids], device=model.device)
            with torch.inference_mode():
                out = model.generate(
                    input_ids=inputs,
                    attention_mask=torch.ones_like(inputs),
                    past_key_values=cache,
                    use_cache=True,
                    do_sample=False,
                    min_new_tokens=count,
                    max_new_tokens=count,
                    streamer=tokens,
                )
            known = out[0].tolist()

        thread = threading.Thread(target=run)
        thread.start()
        yield from tokens
        thread.join()

    return stream
