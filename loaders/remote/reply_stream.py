"""Stream a reply from one replica, or from another one if the first fails before any text has arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from loaders.remote.replicas import Replica, ReplicaPool
from loaders.remote.server_errors import ServerError
from loaders.remote.streamed_answer import StreamedAnswer
from modules.protocol.errors import PaddockError

_FIRST_WAIT_SECONDS = 1.0


class ReplyStream:
    """One reply.

    `key`: of the prompt, as `prompt_key` returns it. `path`: below the API. `body`: of the request, without the model's
    name. `retries`: how often all replicas are tried again. `answer`: what was read of the present attempt, with the
    error that ended it. `served_by`: the address of the server that was asked last.
    """

    def __init__(
        self, pool: ReplicaPool, key: bytes, path: str, body: dict[str, Any], *, top_logprobs: int, retries: int
    ) -> None:
        self._pool = pool
        self._key = key
        self._path = path
        self._body = body
        self._top_logprobs = top_logprobs
        self._retries = retries
        self.answer = StreamedAnswer(pool.replicas[0].file, top_logprobs)
        self.served_by = ""

    def texts(self, cancelled: threading.Event) -> Iterator[str]:
        """Yield the texts of the reply. An error that ends it early is in `answer.failure`."""
        tries, failed = 0, list[Replica]()
        while True:
            with self._pool.request(self._key, failed) as replica:
                yield from self._attempt(replica, cancelled)
            failure = self.answer.failure
            if failure is None or cancelled.is_set():
                return
            self._pool.failed(replica, failure)
            failed.append(replica)
            others = self._pool.others(failed)
            if self.answer.tokens:
                self.answer.failure = _with_others(failure, others)
                return
            if not failure.elsewhere:
                return
            if others:
                continue
            tries += 1
            if not failure.again or tries > self._retries:
                return
            failed.clear()
            cancelled.wait(failure.wait or _FIRST_WAIT_SECONDS * 2 ** (tries - 1))
            if cancelled.is_set():
                return

    def _attempt(self, replica: Replica, cancelled: threading.Event) -> Iterator[str]:
        assert replica.dialect is not None
        self.answer = answer = StreamedAnswer(replica.file, self._top_logprobs)
        self.served_by = replica.address
        body = {"model": replica.dialect.model, **self._body}
        stream = replica.client.stream(f"{replica.file.api}/{self._path}", body, cancelled)
        try:
            for event in stream:
                if text := answer.read(event):
                    yield text
            if not cancelled.is_set():
                answer.check_whole()
                self._pool.succeeded(replica)
        except ServerError as failure:
            answer.failure = failure
        finally:
            stream.close()


def _with_others(failure: ServerError, others: int) -> ServerError:
    """Return the failure of a reply that had begun, which says that other replicas are well if any is."""
    if not others or not failure.elsewhere:
        return failure
    error = failure.error
    words = f"{error.message} Other servers with this model answer, so trying again can work now."
    return ServerError(PaddockError(words, detail=error.detail), again=failure.again, status=failure.status)
