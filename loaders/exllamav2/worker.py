"""The engine of the exllamav2 loader: ExLlamaV2's dynamic generator, which gets and returns token ids."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loaders.exllamav2.batcher import Batcher
from loaders.exllamav2.error_messages import translate_errors
from loaders.exllamav2.jobs import JobFactory
from loaders.exllamav2.kernels import import_engine
from loaders.exllamav2.loaded_model import LoadedModel, load_model
from loaders.exllamav2.lora import read_adapter, remove_adapters
from loaders.exllamav2.results import FINISH_REASONS, cached_tokens, token_ids
from loaders.exllamav2.scoring import write_logits
from loaders.exllamav2.spec import Settings
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, Unsupported
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.hf.model_files import check_folder

_LOAD_LOWER = ("context", "cache_type", "cache_tokens", "batch")
_RUN_LOWER = ("context", "slots", "batch")


class Engine(EngineBase):
    """One model. `generate` runs on as many threads as there are slots; only the batcher's thread uses the card."""

    def __init__(self) -> None:
        self._batcher = Batcher()
        self._exl: Any = None
        self._torch: Any = None
        self._loaded: Any = None
        self._jobs: Any = None

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        report("Checking the files", None)
        raw = check_folder(path)
        self._tokens = FolderTokenizer(path, self.templates)
        report("Importing ExLlamaV2. The first time it compiles its kernels, which takes minutes", None)
        self._batcher.call(self._import)
        with translate_errors(f"{path.name} with this context", _LOAD_LOWER), ExitStack() as stages:
            loaded: LoadedModel = self._batcher.call(lambda: load_model(self._exl, path, settings, report, stages))
        self._loaded = loaded
        self._jobs = JobFactory(self._exl, self._torch, loaded, self._tokens)
        self._batcher.use(loaded.generator)
        config = loaded.model.config
        return ModelInfo(
            context=loaded.lengths.context,
            trained_context=config.original_max_seq_len,
            slots=settings.slots if loaded.generator.paged else 1,
            device=", ".join(self._batcher.call(self._cards)),
            dtype=f"{_format(raw)}, cache {settings.cache_type}",
            architecture=str(config.architecture),
            parameters=self._batcher.call(loaded.parameters),
            template=self._tokens.template,
            template_source=self._tokens.template_source,
            bos=self._tokens.bos,
            eos=self._tokens.eos,
            memory_bytes=self._batcher.call(self._allocated),
            notes=loaded.notes,
            ignored=["guidance_scale", "negative_prompt"] if self._jobs.guidance_problem() else [],
        )

    def _import(self) -> None:
        self._torch, self._exl = import_engine()

    def unload(self) -> None:
        """End the batcher's thread. Memory is freed when the process ends."""
        self._batcher.close()

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._tokens.tokenize(text, special)

    def detokenize(self, tokens: list[int]) -> str:
        return self._tokens.detokenize(tokens)

    def token_bytes(self, token: int) -> bytes:
        return self._tokens.text.bytes_of(token)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        prompt = self._tokens.prompt(request.prompt, params, self._loaded.lengths.context)
        seed = params.seed if params.seed >= 0 else random.SystemRandom().randrange(2**31)
        room = self._loaded.lengths.context - len(prompt.tokens)
        longest = min(params.max_new_tokens, room)
        reply = self._tokens.reply(params, prompt.tokens)
        start = time.monotonic()
        first = 0.0
        reason, last = "cancelled", {}
        with translate_errors("this reply", _RUN_LOWER):
            job = self._batcher.submit(lambda: self._jobs.make(prompt.tokens, params, seed, longest), cancelled)
            try:
                for result in job:
                    for token in token_ids(result):
                        first = first or time.monotonic()
                        if reply.generated < longest and not reply.stopped and (piece := reply.take(token)):
                            yield piece
                    if reply.stopped:
                        break
                    if result["eos"]:
                        last = result
                        reason = FINISH_REASONS.get(result.get("eos_reason", ""), "stop")
            finally:
                job.close()
        if not cancelled.is_set() and (piece := reply.end()):
            yield piece
        if reason == "length" and longest < params.max_new_tokens:
            reason = "context"
        now = time.monotonic()
        first = first or now
        return Outcome(
            "stop_text" if reply.stopped else reason,
            len(prompt.tokens),
            cached_tokens(job, last),
            prompt.cut,
            reply.generated,
            first - start,
            now - first,
            seed,
        )

    def next_token_probabilities(self, prompt: str, top: int) -> list[dict[str, Any]]:
        neutral = SamplingParams(max_new_tokens=1)
        tokens = self._tokens.prompt(prompt, neutral, self._loaded.lengths.context).tokens

        def make_job() -> Any:
            job = self._jobs.make(tokens, neutral, 0, 1)
            job.return_top_tokens = top
            job.stop_tokens, job.stop_tokens_list = set(), []
            return job

        with translate_errors("this prompt", _RUN_LOWER):
            job = self._batcher.submit(make_job, threading.Event())
            found: list[dict[str, Any]] = []
            for result in job:
                if "top_k_tokens" in result and not found:
                    pairs = zip(
                        result["top_k_tokens"][0, 0].tolist(), result["top_k_probs"][0, 0].tolist(), strict=True
                    )
                    found = [
                        {"token": token, "text": self._tokens.detokenize([token]), "probability": chance}
                        for token, chance in pairs
                    ]
        return sorted(found, key=lambda entry: -entry["probability"])

    def score(self, tokens: list[int], first: int, file: Path) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            return write_logits(self._torch, self._loaded, tokens, first, file)

        with translate_errors("this window", _RUN_LOWER, "Evaluate with a smaller one: --set window=256 stride=128"):
            scored: dict[str, Any] = self._batcher.call(work, when_idle=True)
        return scored

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        def change() -> None:
            model, generator = self._loaded.model, self._loaded.generator
            if adapters and model.tp_context is not None:
                raise Unsupported("ExLlamaV2 applies no adapters with Tensor parallel. Switch it off and load again.")
            try:
                loras = [read_adapter(self._exl, model, Path(name), weight) for name, weight in adapters.items()]
                generator.set_loras(loras or None)
                # The cache was computed with other adapters.
                generator.reset_page_table()
            finally:
                remove_adapters(model, generator.current_loras or ())

        try:
            with translate_errors("these adapters", _RUN_LOWER):
                self._batcher.call(change, when_idle=True)
        except (ValueError, AssertionError, KeyError, OSError) as error:
            raise ModelError(
                f"ExLlamaV2 cannot apply the LoRA adapter: {str(error).strip() or type(error).__name__}. Load the "
                "model that it was trained on, or choose another adapter.",
                detail=traceback.format_exc(),
            ) from None

    def _cards(self) -> list[str]:
        cuda = self._torch.cuda
        return [f"{cuda.get_device_name(index)} (cuda:{index})" for index in range(cuda.device_count())]

    def _allocated(self) -> int:
        cuda = self._torch.cuda
        return sum(cuda.memory_allocated(index) for index in range(cuda.device_count()))


def _format(config: dict[str, Any]) -> str:
    found = config.get("quantization_config")
    method = str(found.get("quant_method", "")) if isinstance(found, dict) else ""
    bits = found.get("bits") if isinstance(found, dict) else None
    return f"{method or 'float16'}{f' {bits:g} bits' if isinstance(bits, (int, float)) else ''}"
