"""Where the drafts of a loaded Transformers model come from, by its settings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.families.draft_vocabulary import folder_vocabulary
from modules.families.drafts import DraftSettings, find_draft_model, other_vocabulary
from modules.protocol.errors import ModelError
from modules.worker.drafts import Drafter, start_drafter
from modules.worker.hf.error_messages import load_error
from modules.worker.hf.kv_cache import PrefixCache
from modules.worker.hf.model_files import check_folder


class DraftSource:
    """Makes a drafter for each reply. The draft model stays loaded between them."""

    def __init__(self, settings: DraftSettings, cache: PrefixCache | None, shared: int, size: int) -> None:
        """`cache`: of the draft model; None without one. `shared`: tokens that both models have. `size`: tokens of a
        prompt that are read in one step."""
        self._settings, self._cache, self._shared, self._size = settings, cache, shared, size

    @classmethod
    def of(
        cls, settings: DraftSettings, path: Path, tokenizer: Any, cache: PrefixCache, size: int
    ) -> DraftSource | None:
        """Return the source for the model of `path`, or None if the settings ask for no drafts, or it can use none.

        `size`: as for the constructor. A model that cannot go back in its text, such as a state-space model, cannot use
        drafts. Raises ModelError for a draft model that is not there or does not fit.
        """
        named = settings.draft_model.strip()
        if not (settings.ngram_draft or named) or not cache.can_draft:
            return None
        own, shared = _load(named, path, tokenizer, cache) if named else (None, 0)
        return cls(settings, own, shared, size)

    def start(self, prompt: Sequence[int], cancelled: threading.Event) -> Drafter:
        """Return a drafter for the reply to a prompt. `cancelled` ends its reading."""
        model = _HfDraftModel(self._cache, self._shared, self._size, cancelled) if self._cache else None
        return start_drafter(self._settings, prompt, model)


@dataclass(frozen=True)
class _HfDraftModel:
    """A drafts.DraftModel. `cache`: of the model; `shared`, `size`: as for DraftSource."""

    cache: PrefixCache
    shared: int
    size: int
    cancelled: threading.Event

    def keep(self, tokens: list[int]) -> int:
        return self.cache.reuse(tokens)

    def drop(self, count: int) -> bool:
        if not self.cache.can_drop(0):
            return False
        self.cache.drop(count)
        return True

    def read(self, tokens: list[int]) -> tuple[int, float]:
        size = self.size if self.cache.slices else len(tokens)
        last = (len(tokens) - 1) // size * size
        for begin in range(0, last, size):
            self.cache.read(tokens[begin : begin + size])
            if self.cancelled.is_set():
                return 0, 0.0
        # The model knows no token beyond those that both have.
        sure, token = self.cache.read(tokens[last:])[: self.shared].float().softmax(-1).max(-1)
        return int(token), float(sure)


def _load(name: str, path: Path, tokenizer: Any, cache: PrefixCache) -> tuple[PrefixCache, int]:
    """Load the draft model beside the model, on its device. Return its cache, and how many tokens both have.

    Raises ModelError.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_draft_model(name, path)
    if not folder.is_dir():
        raise ModelError(f"The draft model {folder.name} is a file. Choose a folder with safetensors (draft_model).")
    check_folder(folder)
    own = folder_vocabulary(tokenizer.get_vocab())
    with load_error(folder):
        tokens = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        other = folder_vocabulary(tokens.get_vocab())
        if not own.fits(other):
            raise other_vocabulary(folder.name, path.name, (other.size, own.size))
        # Code of the folder is never run, and pickles are never read.
        drafts = AutoModelForCausalLM.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        return cache.beside(drafts.eval()), min(own.size, other.size)
