"""Where the drafts of a loaded model come from, by its settings."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from loaders.llamacpp.log import EngineLog
from loaders.llamacpp.native import NativeModel
from loaders.llamacpp.native_load import load_native
from loaders.llamacpp.spec import Settings
from modules.worker.drafts import Drafter, start_drafter
from modules.worker.engine import Report
from modules.worker.llama.gguf_keys import read_keys

# A draft model is placed and computed as the model is. What suits the model's own layers and positions is left out.
_SHARED = (
    *("threads", "threads_batch", "batch", "micro_batch", "flash_attention", "gpu_layers", "devices", "split_mode"),
    *("main_gpu", "offload_kv", "cache_type_k", "cache_type_v", "mmap", "mlock"),
)


@dataclass(frozen=True)
class DraftSource:
    """Makes a drafter for each reply. `model`: the draft model, which stays loaded between them. `shared`: tokens that
    it and the model have."""

    settings: Settings
    model: NativeModel | None
    shared: int = 0

    def start(self, prompt: Sequence[int], cancelled: threading.Event) -> Drafter:
        """Return a drafter for the reply to a prompt. `cancelled` ends its reading."""
        batch = self.settings.batch
        model = _NativeDraftModel(self.model, batch, self.shared, cancelled) if self.model else None
        return start_drafter(self.settings, prompt, model)


def load_drafts(
    lib: ModuleType, native: NativeModel, settings: Settings, file: Path | None, log: EngineLog, report: Report
) -> DraftSource | None:
    """Return the source of drafts for a loaded model, or None if the settings ask for none, or it can use none.

    `file`: of the draft model. A model that cannot go back in its text, such as a state-space model, cannot use drafts.
    Raises as `load_native` does.
    """
    if not (settings.ngram_draft or file) or not native.can_drop_latest:
        return None
    if file is None:
        return DraftSource(settings, None)
    report("Loading the draft model", None)
    own = Settings(**{name: getattr(settings, name) for name in _SHARED})
    drafts, _ = load_native(lib, file, own, native.size, read_keys(file).pools, log, lambda text, fraction: None)
    shared = min(int(lib.llama_vocab_n_tokens(one.vocab)) for one in (native, drafts))
    return DraftSource(settings, drafts, shared)


@dataclass(frozen=True)
class _NativeDraftModel:
    """A drafts.DraftModel. `batch`: tokens of a prompt that are read in one step; `shared`: tokens that both have."""

    native: NativeModel
    batch: int
    shared: int
    cancelled: threading.Event

    def _known(self, tokens: list[int]) -> list[int]:
        """Return the tokens with the first one in place of those that this model does not have."""
        return [token if token < self.shared else 0 for token in tokens]

    def keep(self, tokens: list[int]) -> int:
        return self.native.keep_prefix(self._known(tokens))

    def drop(self, count: int) -> bool:
        return self.native.drop(count)

    def read(self, tokens: list[int]) -> tuple[int, float]:
        tokens = self._known(tokens)
        if len(tokens) == 1:
            self.native.append(tokens[0])
        elif not self.native.read(tokens, self.batch, self.cancelled):
            return 0, 0.0
        # The model knows no token beyond those that both have.
        logits = self.native.logits()[: self.shared]
        likeliest = int(logits.argmax())
        return likeliest, 1 / float(importlib.import_module("numpy").exp(logits - logits[likeliest]).sum())
