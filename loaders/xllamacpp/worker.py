"""The engine of the xllamacpp loader: llama.cpp's server in this process."""

from __future__ import annotations

import importlib
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from loaders.xllamacpp.completion_request import adapter_error, completion_request, server_error
from loaders.xllamacpp.completion_stream import CompletionStream, reply_logprobs, with_timings
from loaders.xllamacpp.drafts import draft_bans
from loaders.xllamacpp.embeddings import server_embeddings
from loaders.xllamacpp.library import library_path
from loaders.xllamacpp.load_progress import report_load_progress
from loaders.xllamacpp.media import Media
from loaders.xllamacpp.model_info import describe_model, server_notes
from loaders.xllamacpp.probabilities import likeliest_tokens
from loaders.xllamacpp.reranking import pair_notes, server_scores
from loaders.xllamacpp.rwlock import ReadWriteLock
from loaders.xllamacpp.server_http import LocalServer
from loaders.xllamacpp.server_params import server_parameters
from loaders.xllamacpp.spec import Settings, useful_context
from modules.families.llama_reading import reading_settings
from modules.families.projector import choose_projector
from modules.families.reasoning import visible_tokens
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError, PromptError
from modules.protocol.events import ModelInfo, ReplyLogprob, RerankResult, ScoreResult, TokenProbability
from modules.worker.broken_weights import nan_logits_error
from modules.worker.embeddings import longer_remedy
from modules.worker.end_of_turn import end_of_turn_token
from modules.worker.engine import EmbedInput, EngineBase, Outcome, Piece, Report
from modules.worker.hf.special_tokens import END_NAMES
from modules.worker.llama.gguf_keys import GgufKeys, read_keys
from modules.worker.llama.llama_abi import load_library
from modules.worker.llama.model_notes import check_settings, choose_context, load_error
from modules.worker.llama.prompt_tokens import LlamaTokenizer
from modules.worker.llama.scoring import Scorer
from modules.worker.stderr_tap import StderrTap
from modules.worker.stop_strings import StopFilter
from modules.worker.truncation import fit_prompt


class Engine(EngineBase):
    """One model in llama.cpp's server.

    Completions use xllamacpp's functions. It has none for the tokenizer, which is reached over loopback.
    """

    _serve: Callable[[dict[str, float]], None]
    _prompts: LlamaTokenizer

    def __init__(self) -> None:
        self._xllamacpp: Any = importlib.import_module("xllamacpp")
        self._server: Any = None
        self._local = LocalServer("", "")
        self._keys = GgufKeys()
        self._context = 0
        self._micro_batch = 0  # the most tokens of an input to embed
        self._path = Path()
        self._scorer: Scorer | None = None
        self._server_lock = ReadWriteLock()
        # Names of special tokens shown as text, and the end token of the chat template if llama.cpp does not know it.
        self._visible: tuple[str, ...] = ()
        self._end = ""
        self._media: Media | None = None
        # The LoRA adapters that the server started with, and those in use.
        self._adapters: list[str] = []
        self._weights: dict[str, float] = {}

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        report("Reading the file's header", 0.0)
        self._path = path
        if self.templates and not self.reads_only:
            self.templates.start()
        check_settings(settings)
        self._bans = draft_bans(settings, path)
        self._keys = read_keys(path)
        trained = self._keys.trained_context
        if self.reads_only:
            settings = reading_settings(settings, trained)
        self._micro_batch = min(settings.micro_batch, settings.batch)
        wanted = choose_context(settings, trained)
        room = useful_context(wanted, trained, settings)
        projector = choose_projector(settings.projector, self.projectors)
        mmproj = projector.path if projector else ""
        pooling = "RANK" if self.purpose == "rerank" else "" if self._keys.pools else "MEAN"

        def serve(adapters: dict[str, float]) -> None:
            key = secrets.token_urlsafe(32)
            parameters = server_parameters(self._xllamacpp, path, settings, room, key, pooling, mmproj)
            parameters.lora_adapters = [self._xllamacpp.CommonAdapterLoraInfo(*pair) for pair in adapters.items()]
            with StderrTap() as tap:
                try:
                    self._server = self._xllamacpp.Server(parameters)
                except (RuntimeError, MemoryError, ValueError) as error:
                    message = tap.text() or str(error)
                    raise adapter_error(message) or load_error(path.name, message, wanted) from None
            self._local = LocalServer(self._server.listening_address, key)
            self._adapters = list(adapters)

        with report_load_progress(path, report):
            serve({})
        self._serve = serve
        self._prompts = LlamaTokenizer(self._tokenize, path, self._keys)
        if mmproj:
            props = self._local.get("/props")
            mark, begin = props["media_marker"], props["bos_token"] if self._prompts.prefix else ""
            self.image_mark = self.audio_mark = mark
            count = partial(self.tokenize, special=True)
            self._media = Media(Path(mmproj), mark, settings.image_tokens, count, begin)
        info = self._describe(settings, wanted)
        if not self._computes_numbers():
            raise nan_logits_error()
        report("Ready", 1.0)
        return info

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        if not adapters.keys() <= set(self._adapters):
            # The server accepts new adapters only when it starts.
            with self._server_lock.write():
                self._start_with(adapters)
        # The server reads a slot's chat again if it was read with other weights.
        scales: list[dict[str, Any]] = [
            {"id": place, "scale": adapters.get(path, 0.0)} for place, path in enumerate(self._adapters)
        ]
        self._local.post("/lora-adapters", scales)
        self._weights = dict(adapters)

    def _start_with(self, adapters: dict[str, float]) -> None:
        """Start a new server with `adapters`. Raises PaddockError after restoring the previous one."""
        self._server = None
        try:
            self._serve(adapters)
        except PaddockError:
            self._serve(self._weights)
            raise

    def _describe(self, settings: Settings, wanted: int) -> ModelInfo:
        props, meta = self._local.get("/props"), self._local.get("/v1/models")["data"][0]["meta"]
        self._context = props["default_generation_settings"]["n_ctx"]
        devices = [device["name"] for device in self._xllamacpp.get_device_info() if device["name"] != "CPU"]
        template = str(self._keys.values.get("tokenizer.chat_template", ""))
        names = self._keys.control
        end = end_of_turn_token(self.templates, template, props["bos_token"], props["eos_token"], names)
        self._end = "" if end in (props["eos_token"], *END_NAMES) else end
        self._visible = tuple(sorted(visible_tokens(names, template)))
        notes = server_notes(settings, self._context, wanted, meta["n_ctx_train"])
        if self.purpose == "rerank":
            notes += pair_notes(self._keys)
        device = ", ".join(devices) if devices and settings.gpu_layers else "cpu"
        return describe_model(props, meta, self._keys, device, notes)

    def _computes_numbers(self) -> bool:
        """Return False if the model computes no probabilities (NaN).

        In that case the server silently takes the first token of the vocabulary.
        """
        if self.reads_only:
            numbers = self.rerank("a", ["a"]).scores if self.purpose == "rerank" else self.embed(["a"])[0]
            return all(map(math.isfinite, numbers))
        try:
            likeliest = self.next_token_probabilities("a", 1)
        except PaddockError:  # The server reports none.
            return True
        return not any(math.isnan(entry["probability"]) for entry in likeliest)

    def tokenize(self, text: str, special: bool) -> list[int]:
        with self._server_lock.read():
            if self.reads_only and special:
                return self._prompts.whole(text)
            return self._prompts.prompt(text, True) if special else self._prompts.ids(text, False)

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        with self._server_lock.read():
            return self._prompts.lengths(texts, self._local.tokenize_all)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        body = {"content": text, "add_special": add_special, "parse_special": parse_special}
        return list(self._local.post("/tokenize", body)["tokens"])

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        return self._media.count(prompt, media) if self._media and media else len(self.tokenize(prompt, True))

    def detokenize(self, tokens: list[int]) -> str:
        with self._server_lock.read():
            return str(self._local.post("/detokenize", {"tokens": tokens})["content"])

    def _prompt(self, text: str, add_bos: bool) -> list[int]:
        """Return the token ids of a prompt. Raises PromptError."""
        if not (tokens := self._prompts.prompt(text, add_bos)):
            raise PromptError("The prompt is empty, and this model has no start token. Write something.")
        return tokens

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        with self._server_lock.read():
            return (yield from self._generate(request, cancelled))

    def _generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        start = time.monotonic()
        prompt, length, cut = self._fitted(request)
        seed = params.seed if params.seed >= 0 else random.randrange(2**31)
        # An end token that the server does not know is made visible, and used as a stop text.
        ends = [self._end] if self._end and not params.ban_eos_token else []
        body = completion_request(prompt, params, seed, self._context, self._keys.control, (*self._visible, *ends))
        body["logit_bias"] += self._bans
        body["n_probs"] = max(1, request.logprobs) if request.logprobs >= 0 else 0
        stop = StopFilter([*params.stop, *ends])
        first, last, logprobs = 0.0, dict[str, Any](), list[ReplyLogprob]()
        count = unsent = 0
        run = self._local.complete if self._media else self._server.handle_completions
        stream = CompletionStream(run, body, cancelled, self.pace)
        try:
            for messages in stream:
                first = first or time.monotonic()
                text = ""
                for message in messages:
                    if "choices" not in message:
                        raise server_error(message.get("error", message))
                    choice = message["choices"][0]
                    if choice["finish_reason"]:
                        last = message
                        continue
                    count += 1
                    unsent += 1
                    logprobs += reply_logprobs(choice, request.logprobs)
                    # A replacement character stands for bytes that are not valid UTF-8. The rest is text.
                    text += stop.feed(choice["text"].replace("\ufffd", ""))
                    if stop.stopped:
                        break
                if text:
                    yield Piece(text, unsent, tuple(logprobs))
                    unsent, logprobs = 0, []
                if stop.stopped:
                    break
        finally:
            stream.close()
        if not stop.stopped and not cancelled.is_set() and (text := stop.flush()):
            yield Piece(text, unsent, tuple(logprobs))
        now = time.monotonic()
        first = first or now
        if last:
            length = last.get("prompt_tokens") or length
            if self._media and request.media:
                self._media.learn(request.prompt, request.media, length)
        reason = "cancelled"
        if stop.stopped:
            reason = "stop" if stop.stop in ends and stop.stop not in params.stop else "stop_text"
        if last and not stop.stopped:
            reason = last["choices"][0]["finish_reason"]
            if reason == "length" and last["timings"]["predicted_n"] < params.max_new_tokens:
                reason = "context"
        outcome = Outcome(reason, length, stream.cached, cut, count, first - start, now - first, seed)
        return with_timings(outcome, last["timings"]) if last else outcome

    def _fitted(self, request: Generate) -> tuple[Any, int, int]:
        """Return the prompt for the server, its length in tokens, and how many were cut. One with media is not cut."""
        params = request.params
        if self._media and request.media:
            length = self.count_tokens(request.prompt, request.media)
            fit_prompt([0] * length, self._context, params.max_new_tokens, truncate=False)
            return self._media.prompt(request.prompt, request.media), length, 0
        tokens, cut = fit_prompt(
            self._prompt(request.prompt, params.add_bos_token),
            self._context,
            params.max_new_tokens,
            params.truncate,
            len(self._prompts.prefix) if params.add_bos_token else 0,
        )
        return tokens, len(tokens), cut

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        if self._scorer is None:
            # The server does not give its model away, so it is mapped once more.
            self._scorer = Scorer(load_library(library_path()), self._path)
        return self._scorer.score(tokens, first, file)

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        tokens = self._prompt(prompt, True)
        return likeliest_tokens(self._local.complete if self._media else self._server.handle_completions, tokens, top)

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        # Token ids, because the server's tokenizer differs from the model's own (LlamaTokenizer).
        tokens = [self.tokenize(one, True) if isinstance(one, str) else one for one in inputs]
        remedy = longer_remedy(self._micro_batch, self._keys.trained_context, self.reads_only)
        with self._server_lock.read():
            return server_embeddings(self._server, tokens, self._micro_batch, remedy)

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        with self._server_lock.read():
            prompts, most = self._prompts, self._micro_batch
            return server_scores(self._server, query, documents, prompts, most, self._keys)
