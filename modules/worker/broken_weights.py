"""The error for a model whose logits are NaN."""

from __future__ import annotations

from modules.protocol.errors import ModelError


def nan_logits_error() -> ModelError:
    """Return the error for logits that are NaN, from which no token can be chosen."""
    return ModelError(
        "The model's logits are NaN, so it cannot choose a next token. A weight is damaged, or "
        "too large for the data type. Download the model again, or load it with a larger data type, such as float32."
    )
