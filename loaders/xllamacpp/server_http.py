"""Requests to llama.cpp's server over loopback, with a random key, for what xllamacpp has no function.

That includes completions of a model with a projector: xllamacpp's function then takes neither token ids nor images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from modules.protocol.errors import PaddockError
from modules.worker.embeddings import unknown_token_error

_TIMEOUT_SECONDS = 120
# /tokenize takes texts and token ids in one list. No token has this id.
_SEPARATOR = -1

_EVENT = re.compile(rb"(data|error): (?=\{)")


class LocalServer:
    """JSON requests to the server in this process. Safe from several threads: each request has its own connection."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 0
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        """Return the JSON at `path`."""
        return self._request("GET", path, None)

    def post(self, path: str, body: Mapping[str, object] | Sequence[Mapping[str, object]]) -> Any:
        """Return the JSON answer to `body` at `path`."""
        return self._request("POST", path, json.dumps(body))

    def tokenize_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text with one request, without BOS. Names of special tokens are text too."""
        mixed = [one for text in texts for one in (text, _SEPARATOR)]
        body = {"content": mixed, "add_special": False, "parse_special": False}
        tokens = list(self.post("/tokenize", body)["tokens"])
        ends = [place for place, token in enumerate(tokens) if token == _SEPARATOR]
        return [tokens[begin + 1 : end] for begin, end in zip([-1, *ends], ends, strict=False)]

    def complete(self, body: Mapping[str, Any], receive: Callable[[Any], bool] | None = None) -> Any:
        """Run a completion as xllamacpp's `handle_completions` does, and answer in the same form.

        With `receive` it is called with each message until it returns True, which ends the completion.
        """
        connection = HTTPConnection(self._host, self._port)
        try:
            connection.request("POST", "/completion", json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != 200 or receive is None:
                answer = _as_completion(json.loads(response.read()))
                return receive(answer) if receive else answer
            for line in response:
                found = _EVENT.match(line)
                if found and receive(_as_completion(json.loads(line[found.end() :]))):
                    break
        finally:
            connection.close()
        return None

    def _request(self, method: str, path: str, body: str | None) -> Any:
        connection = HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            message = answer.get("error", {}).get("message", str(answer)) if isinstance(answer, dict) else str(answer)
            if "range_check" in message:  # The bytes of a token that the vocabulary does not have.
                raise unknown_token_error()
            raise PaddockError(f"llama.cpp refused the request: {message}. Load the model again.", detail=str(answer))
        return answer


def _as_completion(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message of /completion in the form of a completion of OpenAI's API, with what is needed of it."""
    if "error" in message or "prompt_progress" in message:
        return message
    if "content" not in message:
        return {"error": message}
    scores = message.get("completion_probabilities")
    choice = {"text": message["content"], "logprobs": {"content": scores} if scores else None, "finish_reason": None}
    if message.get("stop"):
        choice["finish_reason"] = "length" if message.get("stop_type") == "limit" else "stop"
    return {
        "choices": [choice],
        "timings": message.get("timings"),
        "prompt_tokens": message.get("tokens_evaluated"),
    }
