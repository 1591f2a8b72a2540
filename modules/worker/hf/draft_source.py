"""Where the drafts of a loaded Transformers model come from, by its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.families.drafts import DraftSettings, find_draft_model, other_vocabulary
from modules.protocol.errors import ModelError
from modules.worker.drafts import Drafter, start_drafter
from modules.worker.hf.kv_cache import PrefixCache
from modules.worker.hf.model_files import check_folder


class DraftSource:
    """Makes a drafter for each reply. The draft model stays loaded between them."""

    def __init__(self, settings: DraftSettings, cache: PrefixCache | None) -> None:
        """`cache`: of the draft model; None without one."""
        self._settings, self._cache = settings, cache

    @classmethod
    def of(cls, settings: DraftSettings, path: Path, tokenizer: Any, cache: PrefixCache) -> DraftSource | None:
        """Return the source for the model of `path`, or None if the settings ask for no drafts, or it can use none.

        A model that cannot go back in its text, such as a state-space model, cannot use drafts. Raises ModelError for a
        draft model that is not there or does not fit.
        """
        named = settings.draft_model.strip()
        if not (settings.ngram_draft or named) or not cache.can_draft:
            return None
        return cls(settings, _load(named, path, tokenizer, cache) if named else None)

    def start(self, prompt: Sequence[int]) -> Drafter:
        """Return a drafter for the reply to a prompt."""
        return start_drafter(self._settings, prompt, _HfDraftModel(self._cache) if self._cache else None)


@dataclass(frozen=True)
class _HfDraftModel:
    """A drafts.DraftModel. `cache`: of the model."""

    cache: PrefixCache

    def keep(self, tokens: list[int]) -> int:
        return self.cache.reuse(tokens)

    def drop(self, count: int) -> bool:
        if not self.cache.can_drop(0):
            return False
        self.cache.drop(count)
        return True

    def read(self, tokens: list[int]) -> tuple[int, float]:
        sure, token = self.cache.read(tokens).float().softmax(-1).max(-1)
        return int(token), float(sure)


def _load(name: str, path: Path, tokenizer: Any, cache: PrefixCache) -> PrefixCache:
    """Load the draft model beside the model, on its device. Raises ModelError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_draft_model(name, path)
    if not folder.is_dir():
        raise ModelError(f"The draft model {folder.name} is a file. Choose a folder with safetensors (draft_model).")
    check_folder(folder)
    own = tokenizer.get_vocab()
    other = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False).get_vocab()
    if own != other:
        raise other_vocabulary(folder.name, path.name, (len(other), len(own)))
    # Code of the folder is never run, and pickles are never read.
    drafts = AutoModelForCausalLM.from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return cache.beside(drafts.eval())
