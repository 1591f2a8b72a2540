"""A vector from a Transformers language model: the mean of its last hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from modules.worker.embeddings import too_long_error, unknown_token_error

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def mean_embedding(
    model: PreTrainedModel, device: torch.device, tokens: list[int], context: int, vocabulary: int
) -> list[float]:
    """Return the mean of the last hidden layer over `tokens`: [hidden size], not normalised.

    A language model is not trained for this: its vectors rank texts roughly. Raises PromptError for more tokens than
    `context`, and for an id beyond `vocabulary`.
    """
    if len(tokens) > context:
        raise too_long_error(len(tokens), context, "raise Context length")
    if max(tokens) >= vocabulary:
        raise unknown_token_error()
    with torch.inference_mode():
        ids = torch.tensor([tokens], device=device)
        hidden = model.base_model(input_ids=ids, use_cache=False, return_dict=True).last_hidden_state
        return [float(value) for value in hidden[0].float().mean(0)]
