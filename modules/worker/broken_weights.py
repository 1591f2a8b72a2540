"""What to say of a model whose scores for the next token are no numbers."""

from __future__ import annotations

from modules.protocol.errors import ModelError


def nan_logits_error() -> ModelError:
    """The error for logits that are NaN: no token can be chosen by them."""
    return ModelError(
        "The model computes no numbers (its logits are NaN), so it cannot choose a next token. A weight is damaged, or "
        "too large for the data type. Download the model again, or load it with a larger data type, such as float32."
    )
