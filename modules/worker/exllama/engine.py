"""What the engines of both ExLlama loaders share: the load, the tokenizer and the card."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from modules.protocol.commands import Generate
from modules.protocol.events import ModelInfo, ScoreResult
from modules.worker.engine import EngineBase, Report
from modules.worker.exllama.batcher import Batcher
from modules.worker.exllama.error_messages import translate_errors
from modules.worker.exllama.replies import Asked
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.hf.model_files import check_folder

_LOAD_LOWER = ("context", "cache_type", "cache_tokens", "batch")
RUN_LOWER = ("context", "slots", "batch")


class ExllamaEngine(EngineBase):
    """One model. `generate` runs on as many threads as there are slots; only the batcher's thread uses the card.

    `title`: the engine's name for people. `weights`: the type of weights whose configuration does not say it.
    """

    title: str
    weights: str

    def __init__(self) -> None:
        self._batcher = Batcher()
        self._exl: Any = None
        self._torch: Any = None
        self._loaded: Any = None

    @abstractmethod
    def import_engine(self) -> tuple[Any, Any]:
        """Return the modules (torch, engine). Raises EnvironmentBroken."""

    @abstractmethod
    def load_model(self, path: Path, settings: Any, report: Report) -> Any:
        """Return the loader's LoadedModel."""

    @abstractmethod
    def write_logits(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        """Write the logits of a window, as in commands.Score, while nothing else uses the card."""

    @abstractmethod
    def use(self, loaded: Any) -> None:
        """Generate with this model from now on."""

    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        report("Checking the files", None)
        raw = check_folder(path)
        self._tokens = FolderTokenizer(path, self.templates)
        report(f"Importing {self.title}. The first time it compiles its kernels, which takes minutes", None)
        self._torch, self._exl = self._batcher.call(self.import_engine)
        with translate_errors(self.title, f"{path.name} with this context", _LOAD_LOWER):
            loaded = self._batcher.call(lambda: self.load_model(path, settings, report))
        self.use(loaded)
        return ModelInfo(
            context=loaded.lengths.context,
            device=", ".join(self._batcher.call(self._cards)),
            dtype=f"{self._format(raw)}, cache {settings.cache_type}",
            architecture=str(loaded.model.config.architecture),
            parameters=self._batcher.call(loaded.parameters),
            template=self._tokens.template,
            template_source=self._tokens.template_source,
            bos=self._tokens.bos,
            eos=self._tokens.eos,
            memory_bytes=self._batcher.call(self._allocated),
            notes=loaded.notes,
        )

    def unload(self) -> None:
        """End the batcher's thread. Memory is freed when the process ends."""
        self._batcher.close()

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._tokens.tokenize(text, special)

    def detokenize(self, tokens: list[int]) -> str:
        return self._tokens.detokenize(tokens)

    def token_bytes(self, token: int) -> bytes:
        return self._tokens.text.bytes_of(token)

    def asked(self, request: Generate) -> Asked:
        """Return what is asked of a reply that begins now."""
        params, context = request.params, self._loaded.lengths.context
        prompt = self._tokens.prompt(request.prompt, params, context)
        seed = params.seed if params.seed >= 0 else random.SystemRandom().randrange(2**31)
        longest = min(params.max_new_tokens, context - len(prompt.tokens))
        return Asked(prompt, params.max_new_tokens, longest, seed, time.monotonic())

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        remedy = "Evaluate with a smaller one: --set window=256 stride=128"
        with translate_errors(self.title, "this window", RUN_LOWER, remedy):
            scored: ScoreResult = self._batcher.call(lambda: self.write_logits(tokens, first, file), when_idle=True)
        return scored

    def _cards(self) -> list[str]:
        cuda = self._torch.cuda
        return [f"{cuda.get_device_name(index)} (cuda:{index})" for index in range(cuda.device_count())]

    def _allocated(self) -> int:
        cuda = self._torch.cuda
        return sum(cuda.memory_allocated(index) for index in range(cuda.device_count()))

    def _format(self, config: dict[str, Any]) -> str:
        found = config.get("quantization_config")
        method = str(found.get("quant_method", "")) if isinstance(found, dict) else ""
        bits = found.get("bits") if isinstance(found, dict) else None
        return f"{method or self.weights}{f' {bits:g} bits' if isinstance(bits, (int, float)) else ''}"
