"""The GGUF file of a draft model."""

from __future__ import annotations

from pathlib import Path

from modules.families.drafts import find_draft_model, other_vocabulary
from modules.worker.llama.gguf_keys import read_keys


def fitting_draft(name: str, model: Path) -> Path:
    """Return the file of a draft model with the tokens of `model`. Raises ModelError."""
    file = find_draft_model(name, model)
    # With other tokens llama.cpp would translate each draft through its text, which costs more than it brings.
    own, other = read_keys(model), read_keys(file)
    if own.tokens_hash != other.tokens_hash:
        raise other_vocabulary(file.name, model.name, (other.vocabulary, own.vocabulary))
    return file
