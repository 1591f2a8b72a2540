"""The engine of all loaders with Transformers models. A loader needs to implement only `load_model`.

It has its own loop instead of `model.generate` with a streamer. The loop checks for Cancel at every token and prompt
slice, keeps the prefix of the last run, and adds almost no time per token with neutral parameters.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from modules.families.audio_file import WAV
from modules.protocol.commands import Generate
from modules.protocol.events import ModelInfo, ScoreResult, TokenProbability
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EmbedInput, EngineBase, Outcome, Piece, Report
from modules.worker.hf import bf16_attention as hf_attention
from modules.worker.hf.audio_input import AudioInput
from modules.worker.hf.auto_class import image_processor
from modules.worker.hf.decode_loop import DecodeLoop
from modules.worker.hf.detokenizer import TokenDecoder
from modules.worker.hf.draft_source import DraftSource
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.grammar import Grammars
from modules.worker.hf.history_samplers import History
from modules.worker.hf.image_input import ImageInput, PromptInput, required, text_input
from modules.worker.hf.kv_cache import PrefixCache
from modules.worker.hf.loaded_model import describe_model, describe_vocabulary, input_device
from modules.worker.hf.mean_embedding import mean_embedding
from modules.worker.hf.model_files import chat_template, check_folder, has_consent
from modules.worker.hf.peft_adapters import LoraLayers
from modules.worker.hf.prompt_reading import read_prompt
from modules.worker.hf.sampler_chain import SamplerChain
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.hf.window_logits import write_logits
from modules.worker.hook_runner import Hooks
from modules.worker.reply_text import ReplyText
from modules.worker.stop_strings import StopFilter
from modules.worker.thread_count import single_thread_is_fastest
from modules.worker.truncation import fit_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

    from modules.families.transformers_settings import TransformersSettings

# Settings to lower when memory runs out: while loading, and while the context grows.
_LOAD_LOWER = ("quantization", "dtype", "gpu_memory")
_RUN_LOWER = ("context", "prefill")


class HfEngine(EngineBase):
    """Loads with `load_model`, and generates with a prefix cache and a sampler chain, one generation at a time."""

    typed_media = True
    settings: TransformersSettings
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    @abstractmethod
    def load_model(self, path: Path, settings: Any, report: Report) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return (model, tokenizer) of the checked folder `path`. Errors of Transformers may pass."""

    def check(self, path: Path) -> None:
        """Raise ModelError unless the files of `path` are complete and of a kind that the loader supports."""
        check_folder(path)

    def load(self, path: Path, settings: TransformersSettings, report: Report) -> ModelInfo:
        # Transformers reads this at its first import. A model then cannot cause requests to other hosts.
        os.environ["HF_HUB_OFFLINE"] = "1"
        self.settings, self._schema = settings, type(settings)
        report("Checking the files", None)
        self._folder = path
        if path.is_dir():
            path = self._open.enter_context(stage_for_transformers(path, has_consent("PADDOCK_TRUST_REMOTE_CODE")))
        self.check(path)
        if self.templates and not self.reads_only:
            self.templates.start()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        with out_of_memory_error("this model", _LOAD_LOWER, self._schema), load_error(path):
            self.model, self.tokenizer = self.load_model(path, settings, report)
            self.model.eval()
            processor, notes = image_processor(self.model, self.tokenizer, path, getattr(settings, "images", False))
        if not settings.threads and single_thread_is_fastest(self.model.get_memory_footprint()):
            torch.set_num_threads(1)
        report("Getting ready", None)
        self._device = input_device(self.model)
        return self._prepare(path, processor, notes)

    def _prepare(self, path: Path, processor: ProcessorMixin | None, notes: list[str]) -> ModelInfo:
        if getattr(self.settings, "attention", "auto") == "auto":
            hf_attention.install(self.model, self._device)
        template = chat_template(path, self.tokenizer)
        self._text = TokenDecoder(self.tokenizer, template[0])
        self._prefix_tokens = self._text.prefix()
        hears = processor is not None and not hasattr(processor, "image_processor")
        kind = AudioInput if hears else ImageInput
        self._media = kind(processor, self.model, self._device) if processor else None
        self.image_mark = self.audio_mark = self._media.mark if self._media else ""
        self._cache = PrefixCache(self.model, self._device, self._media.token if self._media else 0)
        self._against = PrefixCache(self.model, self._device)
        with out_of_memory_error("the draft model", _LOAD_LOWER, self._schema):
            self._drafts = DraftSource.of(
                self.settings, self._folder, self.tokenizer, self._cache, self._slice_tokens()
            )
        self._lora = LoraLayers(self.model)
        self._vocabulary = describe_vocabulary(self.model, self.tokenizer, self._text, self.templates, template[0])
        self._grammars = Grammars(self.tokenizer, self._vocabulary.size, self._vocabulary.ends)
        info = describe_model(self.model, self.tokenizer, self.settings, self._device, template, notes)
        self._context = info.context
        return replace(info, sees_images=bool(self._media) and not hears, audio_formats=[WAV] if hears else [])

    def transformers_parts(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase] | None:
        return self.model, self.tokenizer

    def unload(self) -> None:
        """Remove the folders of links and of offloaded layers. The end of the process frees the memory."""
        self._open.close()
        folder: tempfile.TemporaryDirectory[str] | None = getattr(self, "_offload", None)
        if folder is not None:
            folder.cleanup()

    def offload_folder(self) -> str:
        """Create and return a folder for layers that are kept on disk. `unload` removes it."""
        self._offload = tempfile.TemporaryDirectory(prefix="paddock-offload-")
        return self._offload.name

    def use_adapters(self, adapters: dict[str, float]) -> None:
        """Implement `apply_adapter` for loaders whose environment has PEFT with support for their layers."""
        with out_of_memory_error("these adapters", _LOAD_LOWER, self._schema):
            self._lora.use({Path(path): weight for path, weight in adapters.items()})
        # The caches were computed with other adapters.
        self._cache.clear()
        self._against.clear()

    def tokenize(self, text: str, special: bool) -> list[int]:
        tokens = self._text.encode(text, special)
        return self._with_prefix(tokens) if special else tokens

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        return len(self._media_prompt(prompt, media, True).tokens) if media else len(self.tokenize(prompt, True))

    def detokenize(self, tokens: list[int]) -> str:
        return self._text.decode(tokens, skip_special=False)

    def token_bytes(self, token: int) -> bytes:
        return self._text.bytes_of(token)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        hooks = self.hooks_of(request)
        prompt, cut = self._prompt(request, hooks)
        with out_of_memory_error("this reply", _RUN_LOWER, self._schema):
            return (yield from self._run(prompt, cut, request, cancelled, hooks))

    def _prompt(self, request: Generate, hooks: Hooks | None) -> tuple[PromptInput, int]:
        """Return the prompt, and the number of tokens that were cut from it. One with media is never cut."""
        params = request.params
        if request.media:
            prompt = self._media_prompt(request.prompt, request.media, params.add_bos_token)
            fit_prompt(prompt.tokens, self._context, params.max_new_tokens, truncate=False)
            return prompt, 0
        tokens = self._prompt_tokens(request.prompt, params)
        if hooks:
            tokens = hooks.tokens(request.prompt, tokens, self._row, vars(params)) or self._empty()
        tokens, cut = fit_prompt(
            tokens, self._context, params.max_new_tokens, params.truncate, self._prefix_length(tokens)
        )
        return text_input(tokens), cut

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        tokens, _ = fit_prompt(self.tokenize(prompt, True) or self._empty(), self._context, 1, truncate=True)
        with out_of_memory_error("this prompt", _RUN_LOWER, self._schema):
            self._read(self._cache, text_input(tokens), threading.Event())
            likeliest = self._cache.marked_logits.float().softmax(0).topk(min(top, self._vocabulary.size))
        pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        return [
            {"token": token, "text": self._text.bytes_of(token).decode("utf-8", "replace"), "probability": probability}
            for token, probability in pairs
        ]

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        with out_of_memory_error("this window", _RUN_LOWER, self._schema):
            return write_logits(self.model, self._device, tokens, first, file)

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        size = self._vocabulary.size
        with out_of_memory_error("these texts", _RUN_LOWER, self._schema):
            tokens = [self.tokenize(one, True) if isinstance(one, str) else one for one in inputs]
            return [mean_embedding(self.model, self._device, one, self._context, size) for one in tokens]

    def _run(
        self, prompt: PromptInput, cut: int, request: Generate, cancelled: threading.Event, hooks: Hooks | None
    ) -> Generator[Piece, None, Outcome]:
        params, tokens = request.params, prompt.tokens
        begin = time.perf_counter()
        seed = params.seed if params.seed >= 0 else random.SystemRandom().randrange(2**31)
        history = History(tokens, self._vocabulary.size, self._device, params.repetition_penalty_range)
        change = hooks.logits(lambda: history.tokens, self._row, self._vocabulary.ends) if hooks else None
        # A copy, because the logits belong to the cache, and a hook may change them in place.
        hook = (lambda logits: change(logits.clone())) if change else None
        chain = SamplerChain(params, self._vocabulary, history, seed, self._grammars.start(params), hook)
        cached = self._read(self._cache, prompt, cancelled)
        against = self._read_negative(tokens, params, cancelled)
        read = time.perf_counter()
        reason, generated, drafted, accepted = "cancelled", 0, 0, 0
        if not cancelled.is_set():
            at_start = len(tokens) == self._prefix_length(tokens)
            stream = self._text.stream(params.skip_special_tokens, at_start)
            reply = ReplyText(StopFilter(params.stop), stream)
            drafter = self._drafts.start(tokens, cancelled) if self._drafts else None
            room, ends = self._context - len(self._cache.tokens), frozenset(self._vocabulary.ends)
            loop = DecodeLoop(chain, self._cache, self._against, drafter, room, ends, self._text.bytes_of)
            reason, drafted, accepted = yield from loop.run(request, against, cancelled, reply)
            generated = reply.generated
        return Outcome(
            reason=reason,
            prompt_tokens=len(tokens),
            cached_tokens=cached,
            cut_tokens=cut,
            generated_tokens=generated,
            prefill_seconds=read - begin,
            decode_seconds=time.perf_counter() - read,
            seed=seed,
            drafted_tokens=drafted,
            accepted_tokens=accepted,
        )

    def _read_negative(
        self, tokens: list[int], params: SamplingParams, cancelled: threading.Event
    ) -> torch.Tensor | None:
        """Return the logits after the negative prompt or, as in Transformers, after the prompt's last token."""
        if params.guidance_scale == 1 or cancelled.is_set():
            return None
        negative = self.tokenize(params.negative_prompt, True) if params.negative_prompt else tokens[-1:]
        self._read(self._against, text_input(negative[-max(1, self._context - params.max_new_tokens) :]), cancelled)
        return None if cancelled.is_set() else self._against.marked_logits

    def _read(self, cache: PrefixCache, prompt: PromptInput, cancelled: threading.Event) -> int:
        """Read the uncached part of the prompt, and mark it. Return the number of cached tokens."""
        return read_prompt(cache, prompt, self._media, self._slice_tokens(), cancelled)

    def _slice_tokens(self) -> int:
        """Return how many tokens of a prompt are read in one step."""
        return self.settings.prefill or (512 if self._device.type == "cpu" else 1024)

    def _media_prompt(self, text: str, media: Sequence[str], add_bos: bool) -> PromptInput:
        return required(self._media).read(text, media, self._prefix_tokens if add_bos else [])

    def _prompt_tokens(self, prompt: str, params: SamplingParams) -> list[int]:
        tokens = self._text.encode(prompt, True)
        return (self._with_prefix(tokens) if params.add_bos_token else tokens) or self._empty()

    def _with_prefix(self, tokens: list[int]) -> list[int]:
        return tokens if self._prefix_length(tokens) else [*self._prefix_tokens, *tokens]

    def _prefix_length(self, tokens: list[int]) -> int:
        """Return the number of BOS tokens at the beginning of the prompt, which a chat template may have written."""
        length = len(self._prefix_tokens)
        return length if length and tokens[:length] == self._prefix_tokens else 0

    def _row(self, tokens: list[int]) -> torch.Tensor:
        """Return tokens as the hooks of extensions get them: [1, tokens]."""
        return torch.tensor([tokens], dtype=torch.long, device=self._device)

    def _empty(self) -> list[int]:
        """Return the tokens for an empty prompt, because a model needs at least one."""
        return self._prefix_tokens or [*self._vocabulary.ends, 0][:1]
