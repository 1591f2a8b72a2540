"""Compares the tokens of two folders, for engines that do not do so themselves."""

from __future__ import annotations

import json
from pathlib import Path

from modules.families.draft_vocabulary import DraftVocabulary, tokenizer_vocabulary
from modules.families.drafts import other_vocabulary


def check_same_tokens(model: Path, draft: Path) -> None:
    """Raise ModelError if both folders have a tokenizer.json, and these have different tokens."""
    own, other = _tokens(model), _tokens(draft)
    if own and other and not own.fits(other, most=0):
        raise other_vocabulary(draft.name, model.name, (other.size, own.size))


def _tokens(folder: Path) -> DraftVocabulary | None:
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return tokenizer_vocabulary(tokenizer) if isinstance(tokenizer, dict) else None
