"""The Transformers engine for all models: those that generate, and those that only read (embeddings, reranking)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modules.protocol.events import ModelInfo, RerankResult
from modules.worker.engine import EmbedInput, Report
from modules.worker.hf.error_messages import out_of_memory_error
from modules.worker.hf.text_encoder import TextEncoder
from modules.worker.hf.transformers_engine import HfEngine

if TYPE_CHECKING:
    from transformers import ProcessorMixin

    from modules.families.transformers_settings import TransformersSettings

_LOWER = ("context", "dtype")


class ReadingEngine(HfEngine):
    """An HfEngine whose loader also loads models that only read. `load_model` then returns one of `reader_class`."""

    _encoder: TextEncoder | None = None

    def load(self, path: Path, settings: TransformersSettings, report: Report) -> ModelInfo:
        # The files of sentence-transformers are in folders below, which a folder of links lacks.
        self._folder = path
        return super().load(path, settings, report)

    def _prepare(self, path: Path, processor: ProcessorMixin | None, notes: list[str]) -> ModelInfo:
        if not self.reads_only:
            return super()._prepare(path, processor, notes)
        self._encoder = TextEncoder(self.model, self.tokenizer, self._folder, self.settings.context, self._device)
        return self._encoder.describe(self.purpose)

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._encoder.tokenize(text, special) if self._encoder else super().tokenize(text, special)

    def detokenize(self, tokens: list[int]) -> str:
        return self._encoder.detokenize(tokens) if self._encoder else super().detokenize(tokens)

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        if self._encoder is None:
            return super().embed(inputs)
        with out_of_memory_error("these texts", _LOWER, self._schema):
            return self._encoder.embed(inputs)

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        if self._encoder is None:
            return super().rerank(query, documents)
        with out_of_memory_error("these texts", _LOWER, self._schema):
            return self._encoder.rerank(query, documents)
