"""Turn a completion of llama.cpp's server, which calls back on a thread, into an iterator."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modules.protocol.events import ReplyLogprob, TokenLogprob
from modules.worker.batch_pace import BatchPace
from modules.worker.engine import Outcome
from modules.worker.token_queue import TokenQueue

# run(body, receive) calls receive(message) until it returns True, as xllamacpp's handle_completions does.
Run = Callable[[dict[str, Any], Callable[[Any], bool]], object]


class CompletionStream:
    """Runs `body` on a separate thread and yields the server's messages as parsed JSON, in batches.

    The server calls back once per token. Cancelling ends the iterator. The server learns of it at the next callback
    and frees the slot then; `close` waits for that. It also calls back for each batch of the prompt, which only sets
    `cached`: the prompt tokens that were in the cache.
    """

    def __init__(
        self, run: Run, body: dict[str, Any], cancelled: threading.Event, pace: BatchPace | None = None
    ) -> None:
        self._run_completion = run
        self._body = body
        self._cancelled = cancelled
        self._over = False
        self.cached = 0
        self._arrived: TokenQueue[Any] = TokenQueue(pace)
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        put, cancelled = self._arrived.put, self._cancelled.is_set

        def receive(message: Any) -> bool:
            # If it were passed on, it would count as the first message and the first token would wait for a batch.
            if "prompt_progress" in message:
                self.cached = message["prompt_progress"]["cache"]
            else:
                put(message)
            return self._over or cancelled()

        try:
            self._run_completion(self._body, receive)
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
        """Stop the completion at its next token, and wait until it has stopped, so that the slot is really free."""
        self._over = True
        self._thread.join()


def reply_logprobs(choice: dict[str, Any], count: int) -> list[ReplyLogprob]:
    """Return the entries of Chunk.logprobs in a message. The server leaves out tokens that are half a character."""
    entries = (choice.get("logprobs") or {}).get("content") or []
    return [{**_plain(entry), "top": [_plain(one) for one in entry["top_logprobs"][:count]]} for entry in entries]


def with_timings(outcome: Outcome, timings: Mapping[str, Any]) -> Outcome:
    """Return `outcome` with the numbers of the server's last message."""
    return replace(
        outcome,
        cached_tokens=timings["cache_n"],
        generated_tokens=timings["predicted_n"],
        prefill_seconds=timings["prompt_ms"] / 1000,
        decode_seconds=timings["predicted_ms"] / 1000,
        drafted_tokens=timings.get("draft_n", 0),
        accepted_tokens=timings.get("draft_n_accepted", 0),
    )


def _plain(entry: dict[str, Any]) -> TokenLogprob:
    # null stands for minus infinity, which JSON does not have.
    logprob = -math.inf if entry["logprob"] is None else entry["logprob"]
    return {"token": entry["id"], "bytes": entry["bytes"], "logprob": logprob}
