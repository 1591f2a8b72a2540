"""The engine of the exllamav2 loader: the dynamic generator, fed with token ids."""

from __future__ import annotations

import importlib
import random
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loaders.exllamav2.batcher import Batcher
from loaders.exllamav2.error_messages import explained
from loaders.exllamav2.kernels import compiling
from loaders.exllamav2.lora import forget_adapters, read_adapter
from loaders.exllamav2.model_headers import read_config, read_tokenizer
from loaders.exllamav2.model_setup import Lengths, beside, configure, lengths, load, stretched, whole_pages
from loaders.exllamav2.results import REASONS, cached_tokens, tokens_of
from loaders.exllamav2.sampler_settings import breaker_tokens, sampler_settings
from loaders.exllamav2.spec import Settings
from modules.protocol.commands import Generate
from modules.protocol.errors import EnvironmentBroken, ModelError, OutOfMemory, PromptError, Unsupported
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.hf.model_files import check_folder
from modules.worker.llama.sampler_settings import token_biases

_LOAD_LOWER = ("context", "cache_type", "cache_tokens", "batch")
_RUN_LOWER = ("context", "slots", "batch")


@dataclass(frozen=True)
class _Loaded:
    """What one model's load leaves: ExLlamaV2's objects, all to be touched on the batcher's thread alone."""

    model: Any
    cache: Any
    own_tokenizer: Any
    generator: Any
    draft: Any = None


class Engine(EngineBase):
    """One model. `generate` runs on as many threads as there are slots; the batcher's one thread has the card."""

    def __init__(self) -> None:
        self._batcher = Batcher()
        self._exl: Any = None
        self._torch: Any = None
        self._loaded: Any = None
        self._lengths = Lengths(0, 0, 0)
        self._breakers: dict[tuple[str, ...], set[int]] = {}

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        report("Checking the files", None)
        raw = check_folder(path)
        self._tokens = FolderTokenizer(path, self.templates)
        self._path = path
        report("Importing ExLlamaV2; the first time it compiles its kernels, which takes minutes", None)
        self._batcher.call(self._import)
        with explained(f"{path.name} with this context", _LOAD_LOWER), ExitStack() as stages:
            notes = self._batcher.call(lambda: self._load(path, settings, report, stages))
        self._batcher.use(self._loaded.generator)
        config = self._loaded.model.config
        return ModelInfo(
            context=self._lengths.context,
            trained_context=config.original_max_seq_len,
            slots=settings.slots if self._loaded.generator.paged else 1,
            device=", ".join(self._batcher.call(self._cards)),
            dtype=f"{_format(raw)}, cache {settings.cache_type}",
            architecture=str(config.architecture),
            parameters=self._batcher.call(self._parameters),
            template=self._tokens.template,
            template_source=self._tokens.template_source,
            bos=self._tokens.bos,
            eos=self._tokens.eos,
            memory_bytes=self._batcher.call(self._allocated),
            notes=notes,
            ignored=["guidance_scale", "negative_prompt"] if self._without_guidance() else [],
        )

    def _import(self) -> None:
        try:
            self._torch = importlib.import_module("torch")
            with compiling():
                self._exl = importlib.import_module("exllamav2")
            importlib.import_module("exllamav2.generator")
        except (ImportError, OSError, RuntimeError) as error:
            raise EnvironmentBroken(
                "ExLlamaV2 cannot start. It compiles its CUDA kernels once, for which it needs an NVIDIA card with its "
                "driver, the CUDA toolkit (nvcc) and a C++ compiler. Install what the details name, then load again.",
                detail=traceback.format_exc(),
            ) from error

    def _load(self, path: Path, settings: Settings, report: Report, stages: ExitStack) -> list[str]:
        config = read_config(self._exl, path, stages)
        own_tokenizer = read_tokenizer(self._exl, config, path)
        notes = []
        found = lengths(settings, config.max_seq_len)
        if found.context > config.max_seq_len and not stretched(settings):
            notes.append(
                f"The context of {found.context} tokens is longer than the {config.max_seq_len} that this model was "
                "made for. Beyond those its quality falls, unless RoPE alpha is raised."
            )
        configure(config, settings, found)
        model, cache = load(self._exl, config, settings, found.cache, report, "Loading the weights")
        draft, draft_cache = self._draft(path, settings, found, report, own_tokenizer, stages)
        able = importlib.import_module("exllamav2.attn").has_flash_attn_with_paged
        # It is also off for architectures whose attention flash-attn does not compute.
        paged = able and not config.no_flash_attn and (draft is None or not draft.config.no_flash_attn)
        if not able:
            notes.append(
                "Without flash-attn 2.5.7 or later in this loader's environment one reply runs at a time, and only the "
                "last chat is remembered."
            )
        elif not paged and settings.flash_attention:
            notes.append(
                "ExLlamaV2 computes this architecture without flash-attn: one reply runs at a time, and only the last "
                "chat is remembered."
            )
        report("Getting ready", None)
        generator = self._exl.generator.ExLlamaV2DynamicGenerator(
            model=model,
            cache=cache,
            tokenizer=own_tokenizer,
            # Guidance takes two places; each place takes up to eight tokens of a batch.
            max_batch_size=max(1, min(settings.slots * 2, found.batch // 8)) if paged else 1,
            max_chunk_size=found.batch,
            draft_model=draft,
            draft_cache=draft_cache,
            num_draft_tokens=settings.draft_tokens,
            use_ngram_draft=settings.ngram_draft and draft is None,
            paged=paged,
        )
        self._loaded, self._lengths = _Loaded(model, cache, own_tokenizer, generator, draft), found
        return notes

    def _draft(
        self, path: Path, settings: Settings, found: Lengths, report: Report, own_tokenizer: Any, stages: ExitStack
    ) -> tuple[Any, Any]:
        if not settings.draft_model:
            return None, None
        folder = beside(settings.draft_model, path, "config.json")
        config = read_config(self._exl, folder, stages)
        # Not vocab_size: sizes of one family pad the same tokens differently.
        tokens = read_tokenizer(self._exl, config, folder).actual_vocab_size
        if tokens != own_tokenizer.actual_vocab_size:
            raise ModelError(
                f"{folder.name} cannot draft for {path.name}: it has {tokens} tokens of its own. Choose a draft model "
                "of the same family."
            )
        own = Settings(
            cache_type=settings.cache_type, flash_attention=settings.flash_attention, reserve=settings.reserve
        )
        configure(config, own, found)
        return load(self._exl, config, own, found.cache, report, "Loading the draft model")

    def unload(self) -> None:
        """End the thread that has the card; memory goes with the process."""
        self._batcher.close()

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._tokens.tokenize(text, special)

    def detokenize(self, tokens: list[int]) -> str:
        return self._tokens.detokenize(tokens)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        prompt = self._tokens.prompt(request.prompt, params, self._lengths.context)
        seed = params.seed if params.seed >= 0 else random.SystemRandom().randrange(2**31)
        room = self._lengths.context - len(prompt.tokens)
        longest = min(params.max_new_tokens, room)
        reply = self._tokens.reply(params, prompt.tokens)
        begin = time.monotonic()
        first = 0.0
        reason, last = "cancelled", {}
        with explained("this reply", _RUN_LOWER):
            ticket = self._batcher.submit(lambda: self._job(prompt.tokens, params, seed, longest), cancelled)
            try:
                for result in ticket:
                    for token in tokens_of(result):
                        first = first or time.monotonic()
                        if reply.generated < longest and not reply.stopped and (piece := reply.take(token)):
                            yield piece
                    if reply.stopped:
                        break
                    if result["eos"]:
                        last = result
                        reason = REASONS.get(result.get("eos_reason", ""), "stop")
            finally:
                ticket.close()
        if not cancelled.is_set() and (piece := reply.end()):
            yield piece
        if reason == "length" and longest < params.max_new_tokens:
            reason = "context"
        now = time.monotonic()
        first = first or now
        return Outcome(
            "stop_text" if reply.stopped else reason,
            len(prompt.tokens),
            cached_tokens(ticket, last),
            prompt.cut,
            reply.generated,
            first - begin,
            now - first,
            seed,
        )

    def _job(self, tokens: list[int], params: SamplingParams, seed: int, longest: int) -> Any:
        """A job for the generator; on its thread."""
        generator = self._loaded.generator
        if generator.use_ngram_draft and len(tokens) < generator.max_ngram - 1:
            raise PromptError(
                f"Draft from the text needs a prompt of {generator.max_ngram - 1} tokens. Write more, or switch it off."
            )
        ids = [self._row(tokens)]
        fields = sampler_settings(params, self._loaded.model.config.vocab_size)
        if params.guidance_scale != 1:
            if reason := self._without_guidance():
                raise Unsupported(f"{reason} Set Guidance scale to 1.")
            negative = self._tokens.tokenize(params.negative_prompt or " ", True)
            # The generator looks at one of both alone, and a job that never fits would wait for ever.
            if sum(whole_pages(len(one) + longest) for one in (tokens, negative)) > self._loaded.cache.max_seq_len:
                raise OutOfMemory(
                    "Guidance keeps a second text, and both do not fit into the cache. Lower Maximum new tokens, raise "
                    "Cache size, or set Guidance scale to 1."
                )
            ids.append(self._row(negative))
        else:
            fields.pop("cfg_scale", None)
        if len(tokens) == 1:
            # What it forgets of a text, apply_dry looks for in a list that is empty then.
            fields["dry_range"] = 0
        sampler = self._exl.generator.ExLlamaV2Sampler.Settings(**fields)
        sampler.token_bias = self._bias(params)
        if params.dry_multiplier > 0:
            sampler.dry_sequence_breakers = self._breaker_tokens(tuple(params.dry_sequence_breakers))
        sampler.xtc_ignore_tokens = frozenset()
        return self._exl.generator.ExLlamaV2DynamicJob(
            input_ids=ids,
            # It stops so many tokens early when it drafts.
            max_new_tokens=longest + generator.num_draft_tokens,
            gen_settings=sampler,
            seed=seed,
            stop_conditions=[] if params.ban_eos_token else list(self._tokens.ends),
            token_healing=False,
            decode_special_tokens=True,
        )

    def _without_guidance(self) -> str:
        """Why no reply can be guided with these settings, or ""."""
        generator = self._loaded.generator
        if not generator.paged:
            return "Guidance needs flash-attn in this loader's environment."
        # Its drafts are one for a job, where a guided one has two texts.
        return "Guidance does not go together with drafts." if generator.num_draft_tokens else ""

    def _row(self, tokens: list[int]) -> Any:
        return self._torch.tensor([tokens], dtype=self._torch.long)

    def _bias(self, params: SamplingParams) -> Any:
        """What is added to the logits, [padded vocabulary] on the CPU, or None."""
        found = dict(token_biases(params))
        if params.ban_eos_token:
            found.update(dict.fromkeys(self._tokens.ends, float("-inf")))
        size = self._loaded.generator.padded_vocab_size
        known = {token: bias for token, bias in found.items() if 0 <= token < size}
        if not known:
            return None
        bias = self._torch.zeros((size,), dtype=self._torch.float)
        for token, value in known.items():
            bias[token] = value
        return bias

    def _breaker_tokens(self, texts: tuple[str, ...]) -> set[int]:
        if texts not in self._breakers:
            pieces = self._loaded.own_tokenizer.get_id_to_piece_list(True)
            self._breakers[texts] = breaker_tokens(pieces, texts)
        return self._breakers[texts]

    def next_token_probabilities(self, prompt: str, top: int) -> list[dict[str, Any]]:
        neutral = SamplingParams(max_new_tokens=1)
        tokens = self._tokens.prompt(prompt, neutral, self._lengths.context).tokens

        def job() -> Any:
            made = self._job(tokens, neutral, 0, 1)
            made.return_top_tokens = top
            made.stop_tokens, made.stop_tokens_list = set(), []
            return made

        with explained("this prompt", _RUN_LOWER):
            ticket = self._batcher.submit(job, threading.Event())
            found: list[dict[str, Any]] = []
            for result in ticket:
                if "top_k_tokens" in result and not found:
                    pairs = zip(
                        result["top_k_tokens"][0, 0].tolist(), result["top_k_probs"][0, 0].tolist(), strict=True
                    )
                    found = [
                        {"token": token, "text": self._tokens.detokenize([token]), "probability": chance}
                        for token, chance in pairs
                    ]
        return sorted(found, key=lambda entry: -entry["probability"])

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        def change() -> None:
            model, generator = self._loaded.model, self._loaded.generator
            if adapters and model.tp_context is not None:
                raise Unsupported("ExLlamaV2 applies no adapters in Tensor parallel. Switch it off and load again.")
            try:
                loras = [read_adapter(self._exl, model, Path(name), weight) for name, weight in adapters.items()]
                generator.set_loras(loras or None)
                # What was computed without them is not what they would have computed.
                generator.reset_page_table()
            finally:
                forget_adapters(model, generator.current_loras or ())

        try:
            with explained("these adapters", _RUN_LOWER):
                self._batcher.call(change, when_idle=True)
        except (ValueError, AssertionError, KeyError, OSError) as error:
            raise ModelError(
                f"ExLlamaV2 cannot apply the LoRA adapter: {str(error).strip() or type(error).__name__}. Load the "
                "model that it was made for, or choose another adapter.",
                detail=traceback.format_exc(),
            ) from None

    def _cards(self) -> list[str]:
        cuda = self._torch.cuda
        return [f"{cuda.get_device_name(index)} (cuda:{index})" for index in range(cuda.device_count())]

    def _parameters(self) -> int:
        model = self._loaded.model
        linear = [module for module in model.modules_dict.values() if isinstance(module, self._linear())]
        embedding = int(model.config.vocab_size) * int(model.config.hidden_size)
        return embedding + sum(int(module.in_features) * int(module.out_features) for module in linear)

    def _linear(self) -> Any:
        return importlib.import_module("exllamav2.linear").ExLlamaV2Linear

    def _allocated(self) -> int:
        cuda = self._torch.cuda
        return sum(cuda.memory_allocated(index) for index in range(cuda.device_count()))


def _format(config: dict[str, Any]) -> str:
    found = config.get("quantization_config")
    method = str(found.get("quant_method", "")) if isinstance(found, dict) else ""
    bits = found.get("bits") if isinstance(found, dict) else None
    return f"{method or 'float16'}{f' {bits:g} bits' if isinstance(bits, (int, float)) else ''}"
