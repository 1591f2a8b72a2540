"""Models of Transformers that read texts and write none: embedding models, and cross-encoders that score pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from modules.protocol.errors import ModelError
from modules.protocol.events import ModelInfo, RerankResult
from modules.worker.embeddings import too_long_error, unknown_token_error
from modules.worker.engine import EmbedInput
from modules.worker.hf.packed_weights import count_parameters
from modules.worker.hf.pooling import DenseLayer, pool
from modules.worker.hf.sentence_config import read_sentence_config
from modules.worker.reranking import as_score, long_query_error

if TYPE_CHECKING:
    from transformers import BatchEncoding, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")

# Tokens with padding that are computed at once.
_BATCH_TOKENS = 2048
_NO_POOLING = (
    "The model's folder does not say how to pool the vectors of a text's tokens (1_Pooling/config.json), so their mean "
    "is taken."
)
_UNLIMITED = 1_000_000


class TextEncoder:
    """A loaded model with its tokenizer. `folder`: the model's own, with the files of sentence-transformers.

    `context`: the setting, which `limit`, the most tokens of a text (or of query and document), does not exceed.
    Raises ModelError.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        folder: Path,
        context: int,
        device: torch.device,
    ) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self._config = read_sentence_config(folder)
        self._dense = [DenseLayer(place, device) for place in self._config.dense]
        known = (self._config.length, int(tokenizer.model_max_length), _positions(model))
        self.trained = min((length for length in known if 0 < length < _UNLIMITED), default=0)
        self.limit = min(context, self.trained or context)
        self._vocabulary = model.get_input_embeddings().weight.shape[0]
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if model.config.pad_token_id is None:  # A classifier on a language model finds the last token with it.
            model.config.pad_token_id = tokenizer.pad_token_id
        model.config.use_cache = False

    def describe(self, purpose: str) -> ModelInfo:
        """Return the facts of the model for the host."""
        config = self._model.config
        architectures = getattr(config, "architectures", None) or [type(self._model).__name__]
        return ModelInfo(
            context=self.limit,
            trained_context=self.trained,
            device=str(self._device),
            dtype=str(self._model.dtype).removeprefix("torch."),
            architecture=str(architectures[0]),
            parameters=count_parameters(self._model),
            memory_bytes=int(self._model.get_memory_footprint()),
            notes=[] if self._config.found or purpose == "rerank" else [_NO_POOLING],
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`. `special`: with the tokens that the model expects around a text."""
        return list(self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""
        return str(self._tokenizer.decode(tokens))

    def embed(self, inputs: Sequence[EmbedInput]) -> list[list[float]]:
        """Return a vector for each text or list of token ids. Raises PromptError."""
        tokens = [self.tokenize(self._config.prompt + one, True) if isinstance(one, str) else one for one in inputs]
        if (longest := max(map(len, tokens))) > self.limit:
            remedy = "raise Context length" if self.limit < self.trained else "send it in parts"
            raise too_long_error(longest, self.limit, remedy)
        if any(max(one) >= self._vocabulary for one in tokens):
            raise unknown_token_error()

        def vectors(places: list[int]) -> list[list[float]]:
            batch = self._padded({"input_ids": [tokens[place] for place in places]})
            hidden = self._model(**batch).last_hidden_state
            found = pool(hidden, batch["attention_mask"], self._config.pooling)
            for layer in self._dense:
                found = layer(found)
            rows: list[list[float]] = found.cpu().tolist()
            return rows

        return self._in_batches([len(one) for one in tokens], vectors)

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        """Return a score for each document. Raises PromptError for a query that leaves no room."""
        alone = len(self._pair(query, "", False)["input_ids"])
        if alone + 1 >= self.limit:  # A tokenizer leaves out the separator behind an empty document.
            raise long_query_error(alone, self.limit)
        pairs = [self._pair(query, document, False) for document in documents]
        cut = [place for place, pair in enumerate(pairs) if len(pair["input_ids"]) > self.limit]
        for place in cut:
            pairs[place] = self._pair(query, documents[place], True)
        lengths = [len(pair["input_ids"]) for pair in pairs]

        def scores(places: list[int]) -> list[float]:
            names = pairs[places[0]].keys()
            batch = self._padded({name: [pairs[place][name] for place in places] for name in names})
            logits: list[float] = self._model(**batch).logits.float().squeeze(1).cpu().tolist()
            return [as_score(logit) for logit in logits]

        return RerankResult(self._in_batches(lengths, scores), sum(lengths), cut)

    def _pair(self, query: str, document: str, cut: bool) -> dict[str, list[int]]:
        """Return the model's inputs for a query and a document, of which `cut` keeps as much as the model reads."""
        options: dict[str, object] = {"truncation": "only_second", "max_length": self.limit} if cut else {}
        return dict(self._tokenizer(query, document, verbose=False, **options))

    def _padded(self, rows: dict[str, list[list[int]]]) -> BatchEncoding:
        padded = self._tokenizer.pad(rows, return_tensors="pt")
        return {name: values.to(self._device) for name, values in padded.items()}

    def _in_batches(self, lengths: list[int], compute: Callable[[list[int]], list[T]]) -> list[T]:
        """Return what `compute` makes of the texts, in their order. It gets the places of texts of similar length."""
        found: dict[int, T] = {}
        with torch.inference_mode():
            for places in _batches(lengths):
                found.update(zip(places, compute(places), strict=True))
        return [found[place] for place in range(len(lengths))]


def reader_class(config: PretrainedConfig, purpose: str) -> Any:
    """Return the Auto class, or class, for a model that reads only. Raises ModelError for a reranker with several
    labels."""
    import transformers

    if purpose == "rerank":
        if config.num_labels != 1:
            raise ModelError(
                f"This reranker has {config.num_labels} labels, and Paddock reads those with a single score. Choose "
                "another reranker."
            )
        return transformers.AutoModelForSequenceClassification
    first = str((getattr(config, "architectures", None) or [""])[0])
    # For these, AutoModel would build a decoder too, whose weights are not there.
    alone = getattr(transformers, first, None) if first.endswith("EncoderModel") else None
    return alone or transformers.AutoModel


def is_unused(tensor: str) -> bool:
    """Return True for a tensor that embeddings do not need: that of the pooler, which some folders lack."""
    return tensor.startswith("pooler.")


def _positions(model: PreTrainedModel) -> int:
    """Return how many tokens have a position in the model; 0 if its positions have no limit."""
    positions = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    for module in model.modules():
        # RoBERTa and its kin count positions from behind the padding's id.
        if isinstance(getattr(module, "position_embeddings", None), torch.nn.Embedding):
            first = getattr(module, "padding_idx", None)
            return positions - (first + 1 if isinstance(first, int) else 0)
    return max(0, positions)


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Yield places of texts to compute together: of similar length, and few enough with their padding."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[place] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
