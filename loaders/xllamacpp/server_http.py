"""Requests to llama.cpp's server over loopback, with a random key, for what xllamacpp has no function."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from modules.protocol.errors import PaddockError
from modules.worker.embeddings import unknown_token_error

_TIMEOUT_SECONDS = 120


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
