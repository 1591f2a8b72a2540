"""Collect a reply from the events of a streamed answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loaders.remote.server_errors import ServerError, error_message_in, interrupted_error
from loaders.remote.streamed_logprobs import read_logprobs
from modules.families.remote_file import RemoteFile
from modules.protocol.errors import PaddockError, Unsupported
from modules.protocol.events import ReplyLogprob

_REASONS = {"stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class StreamedAnswer:
    """Reads events of /completions and /chat/completions.

    `tokens`, `prompt_tokens` and `cached_tokens` are the server's numbers if it sends them, otherwise the number of
    pieces. `failure` is the error that ended the reply early. `top_logprobs`: as Generate.logprobs; where it is not
    negative, the server must send log-probabilities.
    """

    def __init__(self, file: RemoteFile, top_logprobs: int = -1) -> None:
        self._file = file
        self._top_logprobs = top_logprobs
        self._logprobs: list[ReplyLogprob] = []
        self._any_logprobs = False
        self._finish = ""
        self._thinking = False
        self.tokens = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.warnings: list[str] = []
        self.failure: ServerError | None = None

    def read(self, event: dict[str, Any]) -> str:
        """Return the text in the event. Raises ServerError if the event is an error."""
        if event.get("error"):
            raise self._failed(error_message_in(event))
        warnings = event.get("warnings")
        for warning in warnings if isinstance(warnings, list) else []:
            if str(warning) not in self.warnings:
                self.warnings.append(str(warning))
        text = ""
        choices = event.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            text = self._choice(choices[0])
        self._count(event)
        return text

    def take_logprobs(self) -> tuple[ReplyLogprob, ...]:
        """Return the entries of Chunk.logprobs that were read since the previous call."""
        taken, self._logprobs = tuple(self._logprobs), []
        return taken

    def _read_logprobs(self, choice: dict[str, Any], text: str) -> None:
        try:
            found = read_logprobs(choice, self._top_logprobs)
        except (KeyError, TypeError, ValueError):
            found = None
        # A piece that a server held back may come without.
        if found is None and text and not self._any_logprobs:
            raise ServerError(
                Unsupported(
                    f"{self._file.address} does not report the probabilities of tokens. Leave 'logprobs' and "
                    "'best_of' out, or load a model of your own."
                ),
                elsewhere=False,
            )
        self._any_logprobs = self._any_logprobs or bool(found)
        self._logprobs += found or []

    def _choice(self, choice: dict[str, Any]) -> str:
        part = _object(choice.get("delta")) or _object(choice.get("message"))
        found = choice.get("text") or part.get("content")
        # A replacement character stands for bytes that are not valid UTF-8. The rest is text.
        text = found.replace("\ufffd", "") if isinstance(found, str) else ""
        # For servers that separate reasoning from the reply. Models themselves write these tags.
        thought = part.get("reasoning_content") or part.get("reasoning")
        if isinstance(thought, str) and thought:
            self.tokens += 1
            text = thought + text if self._thinking else f"<think>\n{thought}{text}"
            self._thinking = True
        elif text and self._thinking:
            self._thinking = False
            self.tokens += 1
            text = f"\n</think>\n\n{text}"
        elif text:
            self.tokens += 1
        if self._top_logprobs >= 0:
            self._read_logprobs(choice, text)
        self._finish = str(choice.get("finish_reason") or self._finish)
        return text

    def _count(self, event: Mapping[str, object]) -> None:
        usage = event.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens = _whole(usage.get("prompt_tokens")) or self.prompt_tokens
            self.tokens = _whole(usage.get("completion_tokens")) or self.tokens
            details = _object(usage.get("prompt_tokens_details"))
            self.cached_tokens = _whole(details.get("cached_tokens")) or self.cached_tokens
        timings = event.get("timings")
        if isinstance(timings, dict):
            self.tokens = _whole(timings.get("predicted_n")) or self.tokens
            self.cached_tokens = _whole(timings.get("cache_n")) or self.cached_tokens

    def check_whole(self) -> None:
        """Raise ServerError if the events ended without a finish reason."""
        if not self._finish:
            raise interrupted_error(self._file, began=self.tokens > 0)
        if self._finish == "content_filter":
            raise ServerError(
                PaddockError("The server's content filter ended the reply. The text so far is kept. Ask differently."),
                elsewhere=False,
            )

    def reason(self, max_new_tokens: int) -> str:
        """Return why the reply ended, one of events.REASONS."""
        reason = _REASONS.get(self._finish, "stop")
        return "context" if reason == "length" and self.tokens < max_new_tokens else reason

    def _failed(self, message: str) -> ServerError:
        kept = " The text so far is kept." if self.tokens else ""
        return ServerError(
            PaddockError(
                f"{self._file.address} ended the reply: {message.rstrip('.')[:400] or 'no reason given'}.{kept} Try "
                "again, or look at the server's log.",
                detail=message,
            ),
            dead=False,
        )


def _object(value: object) -> Mapping[str, object]:
    """Return an object of JSON, {} for anything else."""
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
