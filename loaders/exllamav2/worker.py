"""The engine of the exllamav2 loader: ExLlamaV2's dynamic generator, which gets and returns token ids."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loaders.exllamav2.grammar_filter import grammar_ended
from loaders.exllamav2.jobs import JobFactory
from loaders.exllamav2.kernels import import_engine
from loaders.exllamav2.loaded_model import LoadedModel, load_model
from loaders.exllamav2.logprobs import note_logprobs
from loaders.exllamav2.lora import read_adapter, remove_adapters
from loaders.exllamav2.scoring import write_logits
from loaders.exllamav2.spec import Settings
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, Unsupported
from modules.protocol.events import ModelInfo, ReplyLogprob, ScoreResult, TokenProbability
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import Outcome, Piece, Report
from modules.worker.exllama.engine import RUN_LOWER, ExllamaEngine
from modules.worker.exllama.error_messages import translate_errors
from modules.worker.exllama.replies import stream_reply

if TYPE_CHECKING:
    from exllamav2.generator import ExLlamaV2DynamicJob


class Engine(ExllamaEngine):
    """ExLlama's generator with one model."""

    title, weights = "ExLlamaV2", "float16"

    def __init__(self) -> None:
        super().__init__()
        self._jobs: Any = None
        self._grammars: Any = None

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        info, loaded = super().load(path, settings, report), self._loaded
        return replace(
            info,
            trained_context=loaded.model.config.original_max_seq_len,
            slots=settings.slots if loaded.generator.paged else 1,
            ignored=["guidance_scale", "negative_prompt"] if self._jobs.guidance_problem() else [],
        )

    def import_engine(self) -> tuple[Any, Any]:
        return import_engine()

    def load_model(self, path: Path, settings: Settings, report: Report) -> LoadedModel:
        with ExitStack() as stages:
            return load_model(self._exl, path, settings, report, stages)

    def use(self, loaded: LoadedModel) -> None:
        """Generate with this model from now on."""
        # It imports torch, which `load` has found by then.
        from modules.worker.hf.grammar import Grammars

        self._loaded = loaded
        self._jobs = JobFactory(self._exl, self._torch, loaded, self._tokens)
        self._grammars = Grammars(self._tokens.tokenizer, loaded.generator.padded_vocab_size, self._tokens.ends)
        self._batcher.use(loaded.generator)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params, asked = request.params, self.asked(request)
        prompt = asked.prompt
        follower = self._grammars.follow(params)
        noted = deque[ReplyLogprob]()

        def make_job() -> Any:
            nonlocal noted
            made = self._jobs.make(prompt.tokens, params, asked.seed, asked.longest, follower)
            if request.logprobs >= 0:
                size = self._loaded.model.config.vocab_size
                noted = note_logprobs(made, request.logprobs, size, self.token_bytes)
            return made

        with translate_errors(self.title, "this reply", RUN_LOWER):
            job = self._batcher.submit(make_job, cancelled)
            reply = self._tokens.reply(params, prompt.tokens)
            return (yield from stream_reply(job, asked, reply, noted, partial(grammar_ended, job.job)))

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        neutral = SamplingParams(max_new_tokens=1)
        tokens = self._tokens.prompt(prompt, neutral, self._loaded.lengths.context).tokens

        def make_job() -> ExLlamaV2DynamicJob:
            job = self._jobs.make(tokens, neutral, 0, 1)
            job.return_top_tokens = top
            job.stop_tokens, job.stop_tokens_list = set(), []
            return job

        with translate_errors(self.title, "this prompt", RUN_LOWER):
            job = self._batcher.submit(make_job, threading.Event())
            found: list[TokenProbability] = []
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

    def write_logits(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        return write_logits(self._torch, self._loaded, tokens, first, file)

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
            with translate_errors(self.title, "these adapters", RUN_LOWER):
                self._batcher.call(change, when_idle=True)
        except (ValueError, AssertionError, KeyError, OSError) as error:
            raise ModelError(
                f"ExLlamaV2 cannot apply the LoRA adapter: {str(error).strip() or type(error).__name__}. Load the "
                "model that it was trained on, or choose another adapter.",
                detail=traceback.format_exc(),
            ) from None
