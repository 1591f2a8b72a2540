"""One completion of llama.cpp's server, from its callback's thread to an iterator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from modules.worker.handover import Handover


class CompletionStream:
    """Runs `body` on a thread of its own and yields what the server sends, as parsed JSON.

    The server calls back once a token, and once for each batch of the prompt. Cancelling ends the iterator; the server
    hears of it at the next callback and lets the slot go then.
    """

    def __init__(self, server: Any, body: dict[str, Any], cancelled: threading.Event) -> None:
        self._server = server
        self._body = body
        self._cancelled = cancelled
        self._over = False
        self._arrived: Handover[Any] = Handover()
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        put, cancelled = self._arrived.put, self._cancelled.is_set

        def receive(message: Any) -> bool:
            put(message)
            return self._over or cancelled()

        try:
            self._server.handle_completions(self._body, receive)
        except Exception as error:
            put({"error": {"message": str(error)}})
        finally:
            put(None, last=True)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for message in self._arrived.items(self._cancelled):
            if message is None:
                self._thread.join()
                return
            yield message

    def close(self) -> None:
        """No more is wanted: the server stops at its next token."""
        self._over = True
