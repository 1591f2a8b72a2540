"""The verbs of llama.cpp's server that xllamacpp has no function for: asked over loopback, with a random key."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from modules.protocol.errors import PaddockError

_TIMEOUT_SECONDS = 120


class LocalServer:
    """JSON requests to the server in this process. Safe from several threads: each request has its own connection."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 0
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        """The JSON that is at `path`."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any] | list[dict[str, Any]]) -> Any:
        """The answer to `body` at `path`."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        connection = HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            said = answer.get("error", {}).get("message", str(answer)) if isinstance(answer, dict) else str(answer)
            raise PaddockError(f"llama.cpp refused the request: {said}. Load the model again.", detail=str(answer))
        return answer
