"""The engine of the remote loader: every command becomes a request to another server, or to one of several."""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loaders.remote.media_parts import files_length, media_length, with_media
from loaders.remote.openai_dialect import OpenAi
from loaders.remote.prompt_prefixes import prompt_key
from loaders.remote.replica_check import ReplicaCheck, open_replicas
from loaders.remote.replicas import ReplicaPool
from loaders.remote.reply_stream import ReplyStream
from loaders.remote.server_errors import ServerError
from loaders.remote.server_keys import take_keys
from loaders.remote.spec import MOST_AT_ONCE, SPEC, Settings
from loaders.remote.token_estimate import NOTE, estimate_tokens, join_tokens
from modules.families.audio_file import MP3, WAV
from modules.families.message_content import content_text
from modules.families.remote_file import RemoteFile, parse_remote
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, PaddockError, PromptError, Unsupported
from modules.protocol.events import ModelInfo, ScoreResult, TokenProbability
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EmbedInput, EngineBase, Outcome, Piece, Report
from modules.worker.stop_strings import StopFilter
from modules.worker.truncation import fit_prompt

T = TypeVar("T")
_YES_NO = {"yes": True, "no": False}
# Where neither file nor server says: enough for a chat, and most servers have it.
_ASSUMED_CONTEXT = 8192
# For a chat that the server renders: shown on the Model tab, and read by extensions that ask for the prompt's text. The
# server itself gets the messages.
_TRANSCRIPT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if add_generation_prompt or not loop.last %}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
_TRANSCRIPT_SOURCE = "the server, which renders chats itself"


class Engine(EngineBase):
    """One model, on one server or on several ones."""

    def __init__(self) -> None:
        self._file = RemoteFile()
        self._server: Any = None
        self._context = 0
        self._sees = self._hears = False
        self._pool: ReplicaPool | None = None

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        self._file = _with(read_file(path), settings)
        replicas = open_replicas(self._file, take_keys(self._file))
        report(f"Asking {', '.join(self._file.addresses)}", None)
        check = ReplicaCheck(settings.context or self._file.context)
        found, left_out = check.first(replicas)
        self._server, about = found.dialect, found.about
        dialect = self._server
        self._pool = ReplicaPool(replicas, check)
        context = settings.context or self._file.context or about.context
        self._context = context or _ASSUMED_CONTEXT
        template, source = self._template(settings, about)
        notes = [*left_out, *about.notes]
        if not context:
            notes.append(
                f"The server does not say how long its context is: {_ASSUMED_CONTEXT} tokens are assumed. If that is "
                "wrong, set Context length."
            )
        if not dialect.counts:
            notes.append(NOTE)
        ignored = sorted(SPEC.samplers - dialect.samplers)
        if ignored:
            notes.append(f"{_upper(dialect.title)} does not take: {', '.join(ignored)}.")
        report("Ready", 1.0)
        return ModelInfo(
            context=self._context,
            trained_context=about.trained_context,
            slots=min(MOST_AT_ONCE, settings.slots * len(replicas)),
            device=f"{dialect.title} at {', '.join(self._file.addresses)}",
            dtype=about.dtype,
            parameters=about.parameters,
            template=template,
            template_source=source,
            bos=about.bos,
            eos=about.eos,
            notes=notes,
            ignored=ignored,
            sees_images=self._sees,
            audio_formats=[WAV, MP3] if self._hears else [],
        )

    def _template(self, settings: Settings, about: Any) -> tuple[str, str]:
        chats = settings.chats
        known, source = about.template, about.template_source
        if self._file.template:
            known, source = self._file.template, "the remote.yaml file"
        # What the server does not say is tried.
        self._sees = _YES_NO.get(settings.images, about.sees_images is not False)
        self._hears = _YES_NO.get(settings.audio, about.hears_audio is not False)
        self.media_as_messages = self._sees or self._hears
        self.takes_messages = chats == "there" or (chats == "auto" and not known)
        return (_TRANSCRIPT, _TRANSCRIPT_SOURCE) if self.takes_messages else (known, source)

    def unload(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._ask(lambda server: list(server.tokenize(text, special)))

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        return len(self.tokenize(prompt, True)) + files_length(media)

    def detokenize(self, tokens: list[int]) -> str:
        return self._ask(lambda server: server.detokenize(tokens))

    def next_token_probabilities(self, prompt: str, top: int) -> list[TokenProbability]:
        return self._ask(lambda server: server.probabilities(server.tokenize(prompt, True), top))

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        begin = time.perf_counter()
        scores = self._ask(lambda server: server.prompt_scores(tokens, first))
        seconds = time.perf_counter() - begin
        return {"rows": len(scores), "vocabulary": 0, "seconds": seconds, "log_probabilities": scores}

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        return self._ask(lambda server: server.embed(inputs))

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        seed = random.randrange(2**31) if params.seed < 0 and self._server.seeds else params.seed
        path, body, prompt_tokens, cut = self._request(request)
        body.update(self._server.sampling(params, seed, self._context))
        if request.logprobs >= 0:
            body.update(self._server.logprobs(max(1, request.logprobs), is_chat="messages" in body))
        begin = time.monotonic()
        first = 0.0
        assert self._pool is not None
        key = prompt_key(request.prompt, request.messages)
        retries, top = self._file.retries, request.logprobs
        stream = ReplyStream(self._pool, key, path, body, top_logprobs=top, retries=retries)
        stop = StopFilter(params.stop)
        unsaid = 0
        for text in stream.texts(cancelled):
            first = first or time.monotonic()
            unsaid += 1
            if shown := stop.feed(text):
                yield Piece(shown, unsaid, stream.answer.take_logprobs())
                unsaid = 0
            if stop.stopped:
                break
        if not stop.stopped and not cancelled.is_set() and (rest := stop.flush()):
            yield Piece(rest, unsaid, stream.answer.take_logprobs())
        answer = stream.answer
        for warning in answer.warnings:
            print(f"{stream.served_by}: {warning}", file=sys.stderr)
        if answer.failure is not None and not cancelled.is_set() and not stop.stopped:
            raise answer.failure.error
        now = time.monotonic()
        reason = "cancelled" if cancelled.is_set() else answer.reason(params.max_new_tokens)
        return Outcome(
            "stop_text" if stop.stopped else reason,
            answer.prompt_tokens or prompt_tokens,
            answer.cached_tokens,
            cut,
            answer.tokens,
            (first or now) - begin,
            now - (first or now),
            seed,
            served_by=stream.served_by,
        )

    def _request(self, request: Generate) -> tuple[str, dict[str, Any], int, int]:
        """(path below the API, body, the prompt's tokens, how many of them were cut)."""
        server: OpenAi = self._server
        prompt, params = request.prompt, request.params
        body: dict[str, Any] = {
            "max_tokens": params.max_new_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.messages:
            if request.continue_last and not server.continues:
                raise Unsupported(
                    f"{_upper(server.title)} cannot go on with a reply. Regenerate it instead; or load the model with "
                    "Chats are rendered: here."
                )
            messages, count, cut = _fit_messages(request.messages, self._context, params)
            body.update(messages=with_media(messages), **server.chat(request.continue_last))
            return "chat/completions", body, count, cut
        tokens = self.tokenize(prompt, params.add_bos_token)
        if not tokens:
            raise PromptError("The prompt is empty. Write something.")
        fitted, cut = fit_prompt(tokens, self._context, params.max_new_tokens, params.truncate)
        body["prompt"] = self._ask(lambda server: server.prompt(fitted))
        return "completions", body, len(fitted), cut

    def _ask(self, request: Callable[[OpenAi], T]) -> T:
        assert self._pool is not None
        try:
            return self._pool.ask(request)
        except ServerError as failure:
            raise failure.error from None
        except (KeyError, TypeError, ValueError) as error:
            raise PaddockError(
                f"{self._file.address} answered in a way that {self._server.title} does not. Name the kind of server "
                "in the file, such as server: openai.",
                detail=repr(error),
            ) from None


def read_file(path: Path) -> RemoteFile:
    """Read the remote.yaml file at `path`. Raises ModelError."""
    # The host's Python runs this worker, so its reader is there.
    from modules.files.data_files import DataFileError, read_yaml

    try:
        return parse_remote(read_yaml(path, as_text=True), path.name)
    except (OSError, DataFileError) as error:
        why = error.why if isinstance(error, DataFileError) else error.strerror
        raise ModelError(f"{path.name} cannot be read: {why}. Press refresh on the Model tab.") from None


def _with(file: RemoteFile, settings: Settings) -> RemoteFile:
    overrides = {name: getattr(settings, name) for name in ("connect_timeout", "answer_timeout", "retries")}
    return dataclasses.replace(file, **{name: value for name, value in overrides.items() if value is not None})


def _fit_messages(
    messages: Sequence[Mapping[str, Any]], context: int, params: SamplingParams
) -> tuple[Sequence[Mapping[str, Any]], int, int]:
    """(the messages that are sent, their tokens, how many were cut), by estimate. Whole turns were left out before;
    what is still too long is one message, of which the beginning is cut."""
    media = media_length(messages)
    tokens = estimate_tokens("\n".join(content_text(message["content"]) for message in messages))
    if media:  # A chat with files is not cut.
        fit_prompt([0] * (len(tokens) + media), context, params.max_new_tokens, truncate=False)
        return messages, len(tokens) + media, 0
    fitted, cut = fit_prompt(tokens, context, params.max_new_tokens, params.truncate)
    if not cut:
        return messages, len(fitted), 0
    longest = max(range(len(messages)), key=lambda place: len(messages[place]["content"]))
    shorter = [dict(message) for message in messages]
    shorter[longest]["content"] = join_tokens(estimate_tokens(messages[longest]["content"])[cut:])
    return shorter, len(fitted), cut


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
