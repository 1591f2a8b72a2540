"""The engine of the exllamav3 loader: ExLlamaV3's generator, which gets and returns token ids."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from loaders.exllamav3.loaded_model import LoadedModel, load_model
from loaders.exllamav3.scoring import write_logits
from loaders.exllamav3.spec import Settings
from modules.protocol.commands import Generate
from modules.protocol.events import ModelInfo, ScoreResult, TokenProbability
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import Outcome, Piece, Report
from modules.worker.exllama.engine import RUN_LOWER, ExllamaEngine
from modules.worker.exllama.error_messages import translate_errors
from modules.worker.exllama.replies import stream_reply
from modules.worker.hf.cuda_kernels import import_with_kernels


class Engine(ExllamaEngine):
    """ExLlama's generator with one model."""

    title, weights = "ExLlamaV3", "exl3"

    def __init__(self) -> None:
        super().__init__()
        self._samplers: Any = None

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        info, loaded = super().load(path, settings, report), self._loaded
        return replace(
            info, trained_context=loaded.trained, slots=min(settings.slots, int(loaded.generator.max_batch_size))
        )

    def import_engine(self) -> tuple[Any, Any]:
        return import_with_kernels(self.title, "exllamav3", "exllamav3.generator", "load again")[:2]

    def load_model(self, path: Path, settings: Settings, report: Report) -> LoadedModel:
        return load_model(self._exl, path, settings, report)

    def use(self, loaded: LoadedModel) -> None:
        """Generate with this model from now on."""
        # It imports torch, which `load` has found by then.
        from loaders.exllamav3.chain_sampler import Samplers

        model = loaded.model
        self._loaded = loaded
        self._samplers = Samplers(
            self._tokens, int(model.config.vocab_size), model.output_device, drafting=loaded.drafting
        )
        self._batcher.use(loaded.generator)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params, asked = request.params, self.asked(request)
        prompt = asked.prompt
        follower = self._samplers.follow(params)

        def make_job() -> Any:
            sampler = self._samplers.make(prompt.tokens, params, asked.seed, request.logprobs, follower)
            ends = [] if params.ban_eos_token else list(self._tokens.ends)
            return self._job(prompt.tokens, asked.longest, sampler, ends)

        with translate_errors(self.title, "this reply", RUN_LOWER):
            job = self._batcher.submit(make_job, cancelled)
            sampler = job.job.sampler
            reply = self._tokens.reply(params, prompt.tokens)
            return (yield from stream_reply(job, asked, reply, sampler.noted, sampler.ended_at))

    def _job(self, tokens: list[int], longest: int, sampler: Any, ends: list[int]) -> Any:
        return self._exl.Job(
            input_ids=self._torch.tensor([tokens], dtype=self._torch.long),
            max_new_tokens=longest,
            sampler=sampler,
            stop_conditions=ends,
            decode_special_tokens=True,
        )

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        neutral = SamplingParams(max_new_tokens=1)
        tokens = self._tokens.prompt(prompt, neutral, self._loaded.lengths.context).tokens

        def make_job() -> Any:
            return self._job(tokens, 1, self._samplers.make(tokens, neutral, 0, top, None), [])

        with translate_errors(self.title, "this prompt", RUN_LOWER):
            job = self._batcher.submit(make_job, threading.Event())
            for _ in job:
                pass
            sampler = job.job.sampler
            sampler.ended_at(1)
        return [
            {
                "token": one["token"],
                "text": self._tokens.detokenize([one["token"]]),
                "probability": math.exp(one["logprob"]),
            }
            for entry in list(sampler.noted)[:1]
            for one in entry["top"]
        ]

    def write_logits(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        return write_logits(self._torch, self._loaded.model, tokens, first, file)
