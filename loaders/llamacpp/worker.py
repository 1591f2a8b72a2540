"""The engine of the llamacpp loader: a small loop over llama.cpp's decode function and samplers."""

from __future__ import annotations

import codecs
import importlib
import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from types import ModuleType
from typing import Any

from loaders.llamacpp.drafts import DraftSource, load_drafts
from loaders.llamacpp.embeddings import native_embeddings
from loaders.llamacpp.log import EngineLog
from loaders.llamacpp.lora import LoraAdapters
from loaders.llamacpp.native import NativeModel
from loaders.llamacpp.native_load import load_native
from loaders.llamacpp.native_params import numa_strategy
from loaders.llamacpp.probabilities import likeliest_tokens, reply_logprob
from loaders.llamacpp.sampler_chain import SamplerChain
from loaders.llamacpp.spec import Settings
from modules.families.llama_reading import reading_settings
from modules.families.reasoning import visible_tokens
from modules.protocol.commands import Generate
from modules.protocol.errors import OutOfMemory, PromptError
from modules.protocol.events import ModelInfo, ReplyLogprob, ScoreResult, TokenProbability
from modules.worker.broken_weights import nan_logits_error
from modules.worker.drafts import DraftedRows
from modules.worker.embeddings import longer_remedy
from modules.worker.end_of_turn import end_of_turn_token, ends_message_only
from modules.worker.engine import EmbedInput, EngineBase, Outcome, Piece, Report
from modules.worker.llama.draft_file import fitting_draft
from modules.worker.llama.gguf_keys import GgufKeys, read_keys
from modules.worker.llama.model_notes import check_settings, choose_context, context_notes
from modules.worker.llama.prompt_tokens import LlamaTokenizer
from modules.worker.llama.scoring import Scorer
from modules.worker.stop_strings import StopFilter
from modules.worker.truncation import fit_prompt


class Engine(EngineBase):
    """One model, one context, one reply at a time.

    The context keeps what it has read, so a chat's next turn reads only what is new.
    """

    _native: NativeModel
    _adapters: LoraAdapters
    _prompts: LlamaTokenizer
    _new_context: Callable[[], Any]

    def __init__(self) -> None:
        self._lib: ModuleType = importlib.import_module("llama_cpp.llama_cpp")
        self._log = EngineLog(self._lib)
        self._keys = GgufKeys()
        self._ends: frozenset[int] = frozenset()
        self._batch = 0
        self._path = Path()
        self._scorer: Scorer | None = None
        self._drafts: DraftSource | None = None

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        report("Reading the file's header", 0.0)
        self._path = path
        if self.templates and not self.reads_only:
            self.templates.start()
        check_settings(settings)
        self._keys = read_keys(path)
        if self.reads_only:
            settings = reading_settings(settings, self._keys.trained_context)
        wanted = choose_context(settings, self._keys.trained_context)
        draft = fitting_draft(settings.draft_model, path) if settings.draft_model.strip() else None
        lib = self._lib
        lib.llama_backend_init()
        lib.llama_numa_init(numa_strategy(lib, settings.numa))
        self._native, self._new_context = load_native(lib, path, settings, wanted, self._keys.pools, self._log, report)
        model = self._native.model
        self._drafts = load_drafts(lib, self._native, settings, draft, self._log, report)
        self._adapters = LoraAdapters(lib, model, self._log.text)
        self._batch = settings.batch
        self._learn_special_tokens()
        self._prompts = LlamaTokenizer(self._native.tokenize, path, self._keys)
        self._warm_up()
        report("Ready", 1.0)
        return self._describe(settings)

    def _learn_special_tokens(self) -> None:
        """Find out which tokens end a reply, and which special tokens are shown as text."""
        native, lib, names = self._native, self._lib, self._keys.control
        template = self._template()
        ids = native.ids(names)
        native.show(template, frozenset(ids[name] for name in visible_tokens(names, template) if name in ids))
        bos, eos = (self._name(kind(native.vocab)) for kind in (lib.llama_vocab_bos, lib.llama_vocab_eos))
        end = end_of_turn_token(self.templates, template, bos, eos, names)
        inner = {ids[name] for name in ids if ends_message_only(name, names)}
        self._ends = frozenset((native.ends() - inner) | ({ids[end]} if end in ids else set()))

    def _template(self) -> str:
        template = self._lib.llama_model_chat_template(self._native.model, None)
        return template.decode("utf-8", "replace") if template else ""

    def _warm_up(self) -> None:
        """Compute one token, so that the first reply does not wait for the model's pages to be read."""
        self._native.append(next(iter(self._prompts.prefix), 0))
        self._native.clear()

    def _describe(self, settings: Settings) -> ModelInfo:
        lib, model, native = self._lib, self._native.model, self._native
        trained = int(lib.llama_model_n_ctx_train(model))
        template = self._template()
        on_gpu = settings.gpu_layers and lib.llama_supports_gpu_offload()
        # llama.cpp rounds the context up, but a model that only reads gets no more than its batch.
        context = self._batch if self.reads_only else native.size
        return ModelInfo(
            context=context,
            trained_context=trained,
            device="gpu" if on_gpu else "cpu",
            dtype=self._dtype(),
            architecture=self._keys.architecture,
            parameters=int(lib.llama_model_n_params(model)),
            template=template,
            template_source="GGUF metadata" if template else "",
            bos=self._name(lib.llama_vocab_bos(native.vocab)),
            eos=self._name(lib.llama_vocab_eos(native.vocab)),
            memory_bytes=int(lib.llama_model_size(model)),
            notes=context_notes(settings, context, trained),
        )

    def _dtype(self) -> str:
        """Return the type of the weights, such as "Q8_0". llama.cpp describes a model as "llama 1B Q8_0"."""
        buffer = self._lib.ctypes.create_string_buffer(128)
        self._lib.llama_model_desc(self._native.model, buffer, 128)
        return str(buffer.value.decode("utf-8", "replace").rpartition(" ")[2])

    def _name(self, token: int) -> str:
        return self._native.piece(token, True).decode("utf-8", "replace") if token >= 0 else ""

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        previous = self._adapters.weights
        loaded = self._adapters.load(list(adapters))
        if loaded and not self._renew_context():
            # There was memory for the previous adapters.
            self._adapters.free(loaded)
            self._renew_context()
            self._adapters.use(self._native.context, previous)
            raise OutOfMemory(
                "There is not enough memory for the context with these adapters. Lower Context length, or apply fewer.",
                lower=("context",),
            )
        self._adapters.use(self._native.context, adapters)
        self._native.clear()
        self._adapters.free(self._adapters.unused())

    def _renew_context(self) -> bool:
        """Make a new context. Return False if there is no memory for it.

        A context has room only for the adapters that are loaded when it is made.
        """
        self._lib.llama_free(self._native.context)
        context = self._new_context()
        if context:
            self._native.use_context(context)
        return bool(context)

    def tokenize(self, text: str, special: bool) -> list[int]:
        if self.reads_only and special:
            return self._prompts.whole(text)
        return self._prompts.prompt(text, True) if special else self._prompts.ids(text, False)

    def detokenize(self, tokens: list[int]) -> str:
        return self._native.detokenize(tokens)

    def _prompt(self, text: str, add_bos: bool) -> list[int]:
        """Return the token ids of a prompt. Raises PromptError."""
        tokens = self._prompts.prompt(text, add_bos)
        if not tokens:
            raise PromptError("The prompt is empty, and this model has no start token. Write something.")
        return tokens

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params, native, lib = request.params, self._native, self._lib
        begin = time.monotonic()
        prompt = self._prompt(request.prompt, params.add_bos_token)
        if hooks := self.hooks_of(request):
            prompt = hooks.tokens(request.prompt, prompt, _row, vars(params)) or prompt
        keep = len(self._prompts.prefix) if params.add_bos_token else 0
        tokens, cut = fit_prompt(prompt, native.size, params.max_new_tokens, params.truncate, keep)
        seed = params.seed if params.seed >= 0 else random.randrange(2**31)
        stop, decoder = StopFilter(params.stop), codecs.getincrementaldecoder("utf-8")("ignore")
        special = not params.skip_special_tokens
        count = unsent = 0
        logprobs: list[ReplyLogprob] = []
        reason = "cancelled"
        with ExitStack() as stack:
            chain = stack.enter_context(closing(SamplerChain(lib, native.vocab, params, seed, native.size, self._ends)))
            chain.remember(tokens)
            cached = native.keep_prefix(tokens)
            complete = native.read(tokens[cached:], self._batch, cancelled)
            first = time.monotonic()
            # Bound to local names, since they are used for every token.
            sample, handle, context, is_set = lib.llama_sampler_sample, chain.handle, native.context, cancelled.is_set
            latest = lib.llama_get_logits_ith
            change = hooks.logits(lambda: native.cached, _row, sorted(self._ends)) if hooks and complete else None
            # A hook sees the tokens that were chosen, and no guesses.
            drafter = self._drafts.start(tokens, cancelled) if self._drafts and change is None else None
            drafted = stack.enter_context(closing(DraftedRows(native, drafter)))
            most, row = min(params.max_new_tokens, native.size - len(tokens) + 1), -1
            while complete and not is_set():
                if change is not None:
                    # The samplers read llama.cpp's logits, so those are changed in place.
                    logits = native.logits(row)
                    logits[:] = change(logits)
                token = sample(handle, context, row)
                score = latest(context, row)[token]
                if score != score or (not count and importlib.import_module("numpy").isnan(native.logits(row)).any()):
                    raise nan_logits_error()
                count += 1
                unsent += 1
                if token in self._ends:
                    reason = "stop"
                    break
                if request.logprobs >= 0:
                    logprobs.append(reply_logprob(native, row, token, request.logprobs))
                if text := stop.feed(decoder.decode(native.printed(token, special))):
                    yield Piece(text, unsent, tuple(logprobs))
                    unsent, logprobs = 0, []
                if stop.stopped:
                    reason = "stop_text"
                    break
                if count >= most:
                    reason = "length" if most == params.max_new_tokens else "context"
                    break
                # llama.cpp aborts if one step has more tokens than a batch.
                row = drafted.after(token, min(most - count, self._batch))
        if reason not in ("stop_text", "cancelled") and (text := stop.flush()):
            yield Piece(text, unsent, tuple(logprobs))
        now = time.monotonic()
        decode = count, first - begin, now - first, seed, drafted.drafted, drafted.accepted
        return Outcome(reason, len(tokens), cached, cut, *decode)

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        if self._scorer is None:
            self._scorer = Scorer(self._lib, self._path, self._native.model)
        return self._scorer.score(tokens, first, file)

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        native = self._native
        tokens, _ = fit_prompt(self._prompt(prompt, True), native.size, 1, True, len(self._prompts.prefix))
        native.read(tokens[native.keep_prefix(tokens) :], self._batch, threading.Event())
        return likeliest_tokens(native, top)

    def token_bytes(self, token: int) -> bytes:
        return bytes(self._native.piece(token, True))

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        tokens = [self.tokenize(one, True) if isinstance(one, str) else one for one in inputs]
        remedy = longer_remedy(self._batch, self._keys.trained_context, self.reads_only)
        return native_embeddings(self._native, tokens, remedy)


def _row(tokens: list[int]) -> Any:
    """Return tokens in the form for extensions' hooks: a numpy array, [1, tokens]."""
    return importlib.import_module("numpy").array([tokens], dtype="int64")
