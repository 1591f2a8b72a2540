"""The engine of the remote loader: every command becomes a request to another server."""

from __future__ import annotations

import dataclasses
import os
import random
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from loaders.remote.dialects import OpenAi
from loaders.remote.http_client import HttpClient
from loaders.remote.image_parts import TOKENS_OF_AN_IMAGE, images_length, with_images
from loaders.remote.server_errors import ServerError
from loaders.remote.server_probe import probe_server
from loaders.remote.spec import SPEC, Settings
from loaders.remote.streamed_answer import StreamedAnswer
from loaders.remote.token_estimate import NOTE, estimate_tokens, join_tokens
from modules.families.message_content import content_text
from modules.families.remote_file import KEY_VARIABLE, RemoteFile, parse_remote, url_origin
from modules.protocol.commands import Generate
from modules.protocol.errors import EnvironmentBroken, ModelError, PaddockError, PromptError, Unsupported
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EmbedInput, EngineBase, Outcome, Piece, Report
from modules.worker.stop_strings import StopFilter
from modules.worker.truncation import fit_prompt

# Where neither file nor server says: enough for a chat, and most servers have it.
_ASSUMED_CONTEXT = 8192
_FIRST_WAIT_SECONDS = 1.0
# For a chat that the server renders: shown on the Model tab, and read by extensions that ask for the prompt's text. The
# server itself gets the messages.
_TRANSCRIPT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if add_generation_prompt or not loop.last %}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
_TRANSCRIPT_SOURCE = "the server, which renders chats itself"


class Engine(EngineBase):
    """One model on one server."""

    def __init__(self) -> None:
        self._file = RemoteFile()
        self._server: Any = None
        self._context = 0

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        self._file = _with(read_file(path), settings)
        key = _key(self._file)
        report(f"Asking {self._file.address}", None)
        try:
            dialect, about, entry = probe_server(HttpClient(self._file, key))
        except ServerError as failure:
            raise failure.error from None
        self._server = dialect
        context = settings.context or self._file.context or about.context
        self._context = context or _ASSUMED_CONTEXT
        template, source = self._template(settings, about)
        notes = [*about.notes]
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
            slots=settings.slots,
            device=f"{dialect.title} at {self._file.address}",
            dtype=about.dtype,
            parameters=about.parameters,
            template=template,
            template_source=source,
            bos=about.bos,
            eos=about.eos,
            notes=notes,
            ignored=ignored,
            sees_images=self.images_as_messages,
        )

    def _template(self, settings: Settings, about: Any) -> tuple[str, str]:
        chats = settings.chats
        known, source = about.template, about.template_source
        if self._file.template:
            known, source = self._file.template, "the remote.yaml file"
        self.images_as_messages = {"yes": True, "no": False}.get(settings.images, about.sees_images is not False)
        self.takes_messages = chats == "there" or (chats == "auto" and not known)
        return (_TRANSCRIPT, _TRANSCRIPT_SOURCE) if self.takes_messages else (known, source)

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._ask(lambda: list(self._server.tokenize(text, special)))  # type: ignore[no-any-return]

    def count_tokens(self, prompt: str, images: Sequence[str]) -> int:
        return len(self.tokenize(prompt, True)) + TOKENS_OF_AN_IMAGE * len(images)

    def detokenize(self, tokens: list[int]) -> str:
        return str(self._ask(lambda: self._server.detokenize(tokens)))

    def next_token_probabilities(self, prompt: str, top: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(
            lambda: self._server.probabilities(self._server.tokenize(prompt, True), top)
        )
        return found

    def score(self, tokens: list[int], first: int, file: Path) -> dict[str, Any]:
        begin = time.perf_counter()
        scores: list[float] = self._ask(lambda: self._server.prompt_scores(tokens, first))
        seconds = time.perf_counter() - begin
        return {"rows": len(scores), "vocabulary": 0, "seconds": seconds, "log_probabilities": scores}

    def embed(self, inputs: list[EmbedInput]) -> list[list[float]]:
        remote = self._server.remote
        body = {"model": self._server.model, "input": inputs}
        try:
            answer = remote.post(f"{self._file.api}/embeddings", body)
            return [list(entry["embedding"]) for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
        except ServerError as failure:
            if failure.status not in (404, 405, 501):
                raise failure.error from None
            raise Unsupported("This server makes no embeddings. Load a model of your own for that.") from None
        except (KeyError, TypeError):
            raise PaddockError(f"{self._file.address} answered with no embeddings. Load a model of your own.") from None

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        seed = random.randrange(2**31) if params.seed < 0 and self._server.seeds else params.seed
        path, body, prompt_tokens, cut = self._request(request)
        body.update(self._server.sampling(params, seed, self._context))
        if request.logprobs >= 0:
            body.update(self._server.logprobs(max(1, request.logprobs), is_chat="messages" in body))
        begin = time.monotonic()
        first = 0.0
        answer, stop = StreamedAnswer(self._file, request.logprobs), StopFilter(params.stop)
        unsaid = 0
        for text in self._texts(answer, path, body, cancelled):
            first = first or time.monotonic()
            unsaid += 1
            if shown := stop.feed(text):
                yield Piece(shown, unsaid, answer.take_logprobs())
                unsaid = 0
            if stop.stopped:
                break
        if not stop.stopped and not cancelled.is_set() and (rest := stop.flush()):
            yield Piece(rest, unsaid, answer.take_logprobs())
        for warning in answer.warnings:
            print(f"{self._file.address}: {warning}", file=sys.stderr)
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
        )

    def _texts(
        self, answer: StreamedAnswer, path: str, body: dict[str, Any], cancelled: threading.Event
    ) -> Iterator[str]:
        """Yield the answer's texts. An error that ends it early is in `answer.failure`."""
        tries = 0
        while True:
            stream = self._server.remote.stream(f"{self._file.api}/{path}", body, cancelled)
            answer.failure = None
            try:
                for event in stream:
                    if text := answer.read(event):
                        yield text
                if not cancelled.is_set():
                    answer.check_whole()
                return
            except ServerError as failure:
                answer.failure = failure
            finally:
                stream.close()
            tries += 1
            if answer.tokens or not answer.failure.again or tries > self._file.retries:
                return
            cancelled.wait(answer.failure.wait or _FIRST_WAIT_SECONDS * 2 ** (tries - 1))
            if cancelled.is_set():
                return

    def _request(self, request: Generate) -> tuple[str, dict[str, Any], int, int]:
        """(path below the API, body, the prompt's tokens, how many of them were cut)."""
        server: OpenAi = self._server
        prompt, params = request.prompt, request.params
        body: dict[str, Any] = {
            "model": server.model,
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
            body.update(messages=with_images(messages), **server.chat(request.continue_last))
            return "chat/completions", body, count, cut
        tokens = self._ask(lambda: server.tokenize(prompt, params.add_bos_token))
        if not tokens:
            raise PromptError("The prompt is empty. Write something.")
        fitted, cut = fit_prompt(tokens, self._context, params.max_new_tokens, params.truncate)
        body["prompt"] = self._ask(lambda: server.prompt(fitted))
        return "completions", body, len(fitted), cut

    def _ask(self, request: Any) -> Any:
        try:
            return request()
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


def _key(file: RemoteFile) -> str:
    if not file.key_env:
        return ""
    # By hand, a worker is started with the variable itself.
    address, _, key = os.environ.pop(KEY_VARIABLE, "").partition(" ")
    # By hand, a worker is started with the variable itself.
    key = (key if address == url_origin(file.address) else os.environ.get(file.key_env, "")).strip()
    if not key:
        raise EnvironmentBroken(
            f"The key for {file.address} should be in the environment variable {file.key_env}, which is not set. Set "
            "it and start Paddock again."
        )
    if not key.isascii() or not key.isprintable():
        raise EnvironmentBroken(f"The key in the environment variable {file.key_env} is no text line. Set it again.")
    return key


def _fit_messages(
    messages: list[dict[str, Any]], context: int, params: SamplingParams
) -> tuple[list[dict[str, Any]], int, int]:
    """(the messages that are sent, their tokens, how many were cut), by estimate. Whole turns were left out before;
    what is still too long is one message, of which the beginning is cut."""
    seen = images_length(messages)
    tokens = estimate_tokens("\n".join(content_text(message["content"]) for message in messages))
    fitted, cut = fit_prompt(tokens, max(1, context - seen), params.max_new_tokens, params.truncate and not seen)
    if not cut:
        return messages, len(fitted) + seen, 0
    longest = max(range(len(messages)), key=lambda place: len(messages[place]["content"]))
    shorter = [dict(message) for message in messages]
    shorter[longest]["content"] = join_tokens(estimate_tokens(messages[longest]["content"])[cut:])
    return shorter, len(fitted), cut


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
