"""One completion of llama.cpp's server, from its callback's thread to an iterator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from modules.worker.event_writer import BATCH_SECONDS
from modules.worker.token_queue import TokenQueue


class CompletionStream:
    """Runs `body` on a thread of its own and yields what the server sends, as parsed JSON, as it gathers.

    The server calls back once a token. Cancelling ends the iterator; the server hears of it at the next callback and
    lets the slot go then; `close` waits for that. It calls back for each batch of the prompt too, which is no news but
    for `cached`: the tokens of the prompt that it had read before.
    """

    def __init__(
        self, server: Any, body: dict[str, Any], cancelled: threading.Event, gather: float = BATCH_SECONDS
    ) -> None:
        self._server = server
        self._body = body
        self._cancelled = cancelled
        self._over = False
        self.cached = 0
        self._arrived: TokenQueue[Any] = TokenQueue(gather)
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        put, cancelled = self._arrived.put, self._cancelled.is_set

        def receive(message: Any) -> bool:
            # Handed over it would count as the first news, and the first token would gather behind it.
            if "prompt_progress" in message:
                self.cached = message["prompt_progress"]["cache"]
            else:
                put(message)
            return self._over or cancelled()

        try:
            self._server.handle_completions(self._body, receive)
        except Exception as error:
            put({"error": {"message": str(error)}})
        finally:
            put(None, last=True)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for messages in self._arrived.batches(self._cancelled):
            over = messages[-1] is None
            if over:
                messages.pop()
            if messages:
                yield messages
            if over:
                self._thread.join()
                return

    def close(self) -> None:
        """Stop the server at its next token, and wait until it has stopped: one that does not must not look idle."""
        self._over = True
        self._thread.join()
