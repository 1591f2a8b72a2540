"""The GGUF file of a draft model."""

from __future__ import annotations

from pathlib import Path

from modules.families.drafts import find_draft_model, other_vocabulary
from modules.worker.llama.gguf_keys import read_vocabulary


def fitting_draft(name: str, model: Path, *, unused_only: bool = False) -> Path:
    """Return the file of a draft model whose tokens llama.cpp accepts for `model`. Raises ModelError.

    `unused_only`: as for DraftVocabulary.fits.
    """
    file = find_draft_model(name, model)
    own, other = read_vocabulary(model), read_vocabulary(file)
    if not own.fits(other, unused_only=unused_only):
        raise other_vocabulary(file.name, model.name, (other.size, own.size))
    return file
