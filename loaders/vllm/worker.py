"""The engine of the vllm loader: vLLM's engine in this process, with worker processes if the model is spread."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import os
import random
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loaders.vllm.adapters import find_adapter
from loaders.vllm.engine_args import (
    ENVIRONMENT,
    MOST_PROBABILITIES,
    choose_context,
    engine_arguments,
    make_engine,
    with_draft_path,
)
from loaders.vllm.engine_thread import EngineThread
from loaders.vllm.images import Images
from loaders.vllm.nodes import Part, lost_node_error, start_part
from loaders.vllm.parent_watch import ParentWatch
from loaders.vllm.quantization import allow_amx, computed_dtype, config_problem, cpu_features
from loaders.vllm.request_errors import request_error
from loaders.vllm.sampling_params import NOT_WITH_DRAFTS, sampling_fields
from loaders.vllm.scoring import LogitsRecorder, check_scoring, score_tokens
from loaders.vllm.spec import Settings
from loaders.vllm.startup_progress import report_startup
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, PaddockError, PromptError
from modules.protocol.events import ModelInfo, ReplyLogprob, ScoreResult, TokenProbability
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.node_placement import read_placement
from modules.protocol.sampling import SamplingParams
from modules.worker.broken_weights import nan_logits_error
from modules.worker.compiled_code import compiled_folder, keep_compiled
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.hf.folder_tokenizer import FolderTokenizer, TokenizedPrompt
from modules.worker.hf.model_files import check_folder, has_consent, stored_parameters
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.token_logprobs import logprob_entry
from modules.worker.truncation import fit_prompt

# How long an unload waits. The host kills a worker after five seconds.
_UNLOAD_SECONDS = 2.0


class Engine(EngineBase):
    """One model. Requests of all slots go to one engine, which batches them."""

    def __init__(self) -> None:
        os.environ.update(ENVIRONMENT)
        keep_compiled(compiled_folder(), VLLM_CACHE_ROOT="vllm")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
        self._open = contextlib.ExitStack()
        self._thread: EngineThread | None = None
        self._context = 0
        self._numbers = itertools.count(1)
        self._lora: Any = None
        self._lora_rank = 0
        self._recorder: LogitsRecorder | None = None
        self._spread = False
        self._images: Images | None = None
        self._placement = read_placement(os.environ)
        self._part: Part | None = None
        self._drafting = False

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        report("Checking the files", None)
        settings = with_draft_path(settings, path)
        path = self._open.enter_context(stage_for_transformers(path, has_consent("PADDOCK_TRUST_REMOTE_CODE")))
        config = check_folder(path)
        self._context, trained = choose_context(settings, config)
        self._lora_rank = settings.lora_rank
        self._spread = settings.executor != "auto" or settings.tensor_parallel * settings.pipeline_parallel > 1
        if settings.ray_address:
            os.environ["RAY_ADDRESS"] = settings.ray_address
        report("Importing vLLM", 0.05)
        if self.templates:
            self.templates.start()
        with report_startup(report, path.name):
            self._tokens = FolderTokenizer(path, self.templates)
            self._vllm: Any = importlib.import_module("vllm")
            cpu = bool(importlib.import_module("vllm.platforms").current_platform.is_cpu())
            if cpu and (problem := config_problem(config, cpu_features())):
                raise ModelError(problem)
            if cpu:
                allow_amx()
                settings = replace(settings, dtype=computed_dtype(config, settings.dtype, cpu_features()))
            arguments = engine_arguments(path, settings, config, self._context, cpu)
            self._drafting = "speculative_config" in arguments
            self._parent_watch = ParentWatch()
            if self._placement:
                self._part = start_part(self._placement, settings, arguments)
                if self._placement.rank:
                    return ModelInfo(context=self._context, device="cpu" if cpu else "cuda")
            self._thread = EngineThread(lambda: make_engine(arguments), self.pace)
        if any(math.isnan(entry["probability"]) for entry in self.next_token_probabilities("a", 1)):
            raise nan_logits_error()
        found = self._thread.engine.vllm_config.model_config
        images = Images(path, self._tokens.tokenizer) if found.is_multimodal_model else None
        if images and images.mark:
            self._images, self.image_mark, self.typed_media = images, images.mark, True
        report("Ready", 1.0)
        return ModelInfo(
            context=self._context,
            trained_context=trained,
            slots=settings.slots,
            device="cpu" if cpu else f"cuda x {settings.tensor_parallel * settings.pipeline_parallel}",
            dtype=str(found.dtype).removeprefix("torch.") + (f", {found.quantization}" if found.quantization else ""),
            architecture=str((config.get("architectures") or ["?"])[0]),
            parameters=stored_parameters(path, config),
            template=self._tokens.template,
            template_source=self._tokens.template_source,
            bos=self._tokens.bos,
            eos=self._tokens.eos,
            notes=[f"It gets no images. {images.problem}"] if images and images.problem else [],
            ignored=list(NOT_WITH_DRAFTS) if self._drafting else [],
            sees_images=self._images is not None,
        )

    def unload(self) -> None:
        """End vLLM's processes. Busy ones that take longer are killed by the parent watch."""
        self._open.close()
        thread = self._thread
        if thread is None:
            if self._part:
                self._part.close()
            return
        ended = threading.Event()

        def end() -> None:
            thread.run(thread.engine.engine_core.shutdown)
            ended.set()

        threading.Thread(target=end, name="vllm end", daemon=True).start()
        if ended.wait(_UNLOAD_SECONDS if self._parent_watch.active else None):
            thread.close()
            if self._part:
                self._part.close()
            self._parent_watch.stop()

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._tokens.tokenize(text, special)

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        return self._images.count(prompt, media) if self._images and media else len(self.tokenize(prompt, True))

    def detokenize(self, tokens: list[int]) -> str:
        return self._tokens.detokenize(tokens)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        prompt, whole, length = self._prompt(request)
        seed = params.seed if params.seed >= 0 else random.SystemRandom().randrange(2**31)
        longest = min(params.max_new_tokens, self._context - length)
        top = min(request.logprobs, MOST_PROBABILITIES)
        wanted = self._params(params, longest, seed, **({"logprobs": top} if top >= 0 else {}))
        reply = self._tokens.reply(params, prompt.tokens)
        begin = time.monotonic()
        first = 0.0
        cached, reason = 0, "cancelled"
        outputs = self._outputs(whole, wanted, cancelled)
        try:
            for output in outputs:
                first = first or time.monotonic()
                cached = output.num_cached_tokens or cached
                found = output.outputs[0]
                scores = iter(found.logprobs or ())
                for token in self._reply_tokens(found):
                    score = next(scores, None)
                    logprob = self._logprobs(token, score, top) if score else None
                    if not reply.stopped and (piece := reply.take(token, logprob)):
                        yield piece
                if reply.stopped:
                    break
                if output.finished:
                    reason = "length" if found.finish_reason == "length" else "stop"
        except PaddockError:
            raise
        except Exception as error:
            raise lost_node_error(error, self._placement) or request_error(error, params) from error
        finally:
            outputs.close()
        if not cancelled.is_set() and (piece := reply.end()):
            yield piece
        if reason == "length" and longest < params.max_new_tokens:
            reason = "context"
        now = time.monotonic()
        first = first or now
        return Outcome(
            "stop_text" if reply.stopped else reason,
            length,
            min(cached, length),
            prompt.cut,
            reply.generated,
            first - begin,
            now - first,
            seed,
        )

    def _prompt(self, request: Generate) -> tuple[TokenizedPrompt, dict[str, Any], int]:
        """Return the prompt, the same for vLLM, and its length. One with images is not cut."""
        params = request.params
        prompt = self._tokens.prompt(request.prompt, params, self._context)
        if not (self._images and request.media):
            return prompt, {"prompt_token_ids": prompt.tokens}, len(prompt.tokens)
        length = self.count_tokens(request.prompt, request.media)
        fit_prompt([0] * length, self._context, params.max_new_tokens, truncate=False)
        tokens = self._tokens.tokenize(request.prompt, True)
        return TokenizedPrompt(tokens, 0), self._images.prompt(tokens, request.media), length

    def _outputs(self, prompt: dict[str, Any], wanted: Any, cancelled: threading.Event) -> Generator[Any, None, None]:
        """Yield the outputs of a request as they arrive."""
        assert self._thread is not None
        number = f"paddock-{next(self._numbers)}"
        return self._thread.follow(number, cancelled, prompt=prompt, params=wanted, lora_request=self._lora)

    def _params(self, params: SamplingParams, longest: int, seed: int, **more: Any) -> Any:
        """Return vLLM's SamplingParams. Raises PromptError."""
        kinds = importlib.import_module("vllm.sampling_params")
        fields = sampling_fields(params, self._tokens.ends, longest, seed, self._drafting)
        if params.grammar_string:
            fields["structured_outputs"] = kinds.StructuredOutputsParams(grammar=params.grammar_string)
        elif (schema := parse_json_schema(params)) is not None:
            fields["structured_outputs"] = kinds.StructuredOutputsParams(json=schema)
        try:
            return kinds.SamplingParams(**fields, **more, output_kind=kinds.RequestOutputKind.DELTA)
        except ValueError as error:
            raise PromptError(f"vLLM does not accept these sampling parameters: {error}. Change them.") from None

    def _reply_tokens(self, found: Any) -> list[int]:
        """Return the tokens of an output without the one that ended the reply."""
        tokens = [int(token) for token in found.token_ids]
        ended = found.finish_reason == "stop" and tokens and tokens[-1] in self._tokens.ends
        return tokens[:-1] if ended else tokens

    def _logprobs(self, token: int, scores: dict[int, Any], count: int) -> ReplyLogprob:
        """Return a token's entry of Chunk.logprobs. `scores`: vLLM's, of this token and of the likeliest ones."""
        ranked = sorted(((one, entry.logprob) for one, entry in scores.items()), key=lambda pair: -pair[1])
        return logprob_entry(token, scores[token].logprob, ranked[:count], self.token_bytes)

    def token_bytes(self, token: int) -> bytes:
        return self._tokens.text.bytes_of(token)

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        neutral = SamplingParams(max_new_tokens=1)
        tokens = self._tokens.prompt(prompt, neutral, self._context).tokens
        wanted = self._params(neutral, 1, 0, logprobs=min(top, MOST_PROBABILITIES))
        likeliest: dict[int, Any] = {}
        for output in self._outputs({"prompt_token_ids": tokens}, wanted, threading.Event()):
            if output.outputs[0].logprobs:
                likeliest = output.outputs[0].logprobs[0]
        ranked = sorted(likeliest.items(), key=lambda entry: -entry[1].logprob)[:top]
        return [
            {"token": token, "text": self._tokens.detokenize([token]), "probability": math.exp(entry.logprob)}
            for token, entry in ranked
        ]

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        thread = self._thread
        assert thread is not None
        check_scoring(len(tokens), self._context)
        wanted = self._params(SamplingParams(max_new_tokens=1), 1, 0, prompt_logprobs=0)
        outputs = self._outputs({"prompt_token_ids": tokens}, wanted, threading.Event())
        if self._spread:
            return score_tokens(outputs, tokens, first)
        if self._recorder is None:
            self._recorder = thread.run(lambda: LogitsRecorder(thread.engine))
        return self._recorder.score(outputs, tokens, first, file)

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        path = find_adapter(adapters, self._lora_rank, self._placement is not None)
        if path is None:
            self._lora = None
            return
        thread = self._thread
        assert thread is not None
        requests = importlib.import_module("vllm.lora.request")
        request = requests.LoRARequest(path.name, next(self._numbers), str(path))
        try:
            # Read it now, so that an error does not appear in the next reply.
            thread.run(lambda: thread.engine.add_lora(request))
        except Exception as error:
            raise ModelError(
                f"vLLM cannot apply the adapter {path.name}. It is damaged, was trained on another model, or its rank "
                f"exceeds the LoRA rank of this load ({self._lora_rank}). Load the model with a higher rank, or "
                "choose another adapter.",
                detail=str(error),
            ) from None
        self._lora = request
