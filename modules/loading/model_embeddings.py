"""Vectors of any embedding model in the models folder, loaded through the pool as requests of the API do it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from modules.loading.load_on_request import LoadOnRequest
from modules.protocol.errors import PaddockError, PromptError
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_pool import ModelPool

# Characters. A text that is refused though it has fewer is refused for another reason than its length.
_SHORTEST = 32


def _vectors(model: LoadedModel, texts: list[str]) -> list[list[float]]:
    """Return a vector for each text. That of a text that is longer than the model reads is the mean of its parts'."""
    try:
        return model.embed(list(texts))[0]
    except PaddockError as error:
        # The worker refuses all texts for one that is too long.
        if error.code != PromptError.code or (len(texts) == 1 and len(texts[0]) < _SHORTEST):
            raise
    if len(texts) > 1:
        return [vector for text in texts for vector in _vectors(model, [text])]
    text = texts[0]
    middle = text.rfind(" ", 1, len(text) // 2) + 1 or len(text) // 2
    parts = _vectors(model, [text[:middle]]) + _vectors(model, [text[middle:]])
    mean = [math.fsum(values) for values in zip(*parts, strict=True)]
    length = math.hypot(*mean) or 1.0
    return [[value / length for value in mean]]


class ModelEmbeddings:
    """Embeds texts with a named model, which is loaded beside the one that chats. Thread-safe.

    `used` is called after each use, so that idle models are looked for.
    """

    def __init__(self, pool: ModelPool, on_request: LoadOnRequest, used: Callable[[], None]) -> None:
        self._pool, self._on_request, self._used = pool, on_request, used
        self._loading = threading.Lock()

    def embed(self, name: str, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text; blocking. Raises PaddockError if the model cannot be loaded or embeds none."""
        model = self._pool.find(name)
        if model is None or not model.ready or not model.enter():
            with self._loading:
                model = self._pool.find(name)
                if model is None or not model.ready:
                    self._on_request.check(name, "embed")
                    self._on_request.load(name, lambda: False)
                    model = self._pool.find(name)
            if model is None or not model.enter():
                raise PaddockError(f"{name} was unloaded. Try again.")
        try:
            return _vectors(model.supervisor, list(texts))
        finally:
            model.leave()
            self._used()
