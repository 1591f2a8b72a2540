"""Responses that clients may name in `previous_response_id`, in memory. The oldest are forgotten first."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from modules.protocol.errors import PaddockError

MOST_RESPONSES = 1000
MOST_BYTES = 64 * 1024 * 1024


class ResponseNotFound(PaddockError):
    """There is no stored response of this id."""

    code = "response_not_found"


@dataclass(frozen=True)
class StoredResponse:
    """`messages`: the chat up to and with the reply, without `instructions`; `response`: what the client got.
    `owner`: the account that may name it, or ""."""

    messages: list[dict[str, object]]
    response: dict[str, Any]
    owner: str = ""


class ResponseStore:
    """The latest responses by id. Only for use on the server's event loop."""

    def __init__(self, most: int = MOST_RESPONSES, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._stored: OrderedDict[str, tuple[StoredResponse, int]] = OrderedDict()
        self._bytes = 0

    def add(self, id: str, stored: StoredResponse) -> None:
        """Keep a response, and forget the oldest ones beyond the limits."""
        size = len(json.dumps([stored.messages, stored.response]))
        self._stored[id] = stored, size
        self._bytes += size
        while self._stored and (len(self._stored) > self._most or self._bytes > self._most_bytes):
            self._bytes -= self._stored.popitem(last=False)[1][1]

    def get(self, id: object, owner: str = "") -> StoredResponse:
        """Return a response of this account. Raises ResponseNotFound."""
        found = self._stored.get(id) if isinstance(id, str) else None
        if found is None or found[0].owner != owner:
            raise ResponseNotFound(
                f"There is no response {str(id)[:100]!r}. Responses are kept in memory until Paddock ends, the latest "
                f"{self._most:,} at most. Send the whole chat in 'input'."
            )
        return found[0]

    def delete(self, id: str, owner: str = "") -> None:
        """Forget a response of this account. Raises ResponseNotFound."""
        self.get(id, owner)
        self._bytes -= self._stored.pop(id)[1]
