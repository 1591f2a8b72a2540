"""Reads a prompt into the cache of a Transformers model: only what is not there yet, and images as a whole."""

from __future__ import annotations

import threading

from modules.worker.hf.image_input import ImageInput, PromptInput
from modules.worker.hf.kv_cache import PrefixCache


def read_prompt(
    cache: PrefixCache, prompt: PromptInput, images: ImageInput | None, size: int, cancelled: threading.Event
) -> int:
    """Read the uncached part of a prompt in slices of `size` tokens, and mark it. Return the number of cached tokens.

    `images`: of a model that sees them. A slice reaches at least to the end of the last new image.
    """
    count = len(prompt.keys)
    whole = bool(images and prompt.images and images.needs_whole_prompts)
    cached = cache.reuse(prompt.keys, [(0, count)] if whole else prompt.spans)
    if images and not (prompt.images and cached == count):
        images.forget_places()
    seen = max((end for first, end in prompt.spans if first >= cached), default=0)
    begin = cached
    while begin < count:
        if cancelled.is_set():
            return cached
        end = min(count, max(begin + size, seen)) if cache.slices and not whole else count
        inputs = images.tensors(prompt, begin, end) if images and begin < seen else None
        logits = cache.read(prompt.keys[begin:end], inputs)
        if end == count:
            cache.mark(logits)
        begin = end
    return cached
