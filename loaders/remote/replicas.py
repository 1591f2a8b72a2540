"""The servers of one model: which one gets a request, and when one that failed is tried again."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from loaders.remote.http_client import HttpClient
from loaders.remote.openai_dialect import OpenAi
from loaders.remote.prompt_prefixes import PromptPrefixes
from loaders.remote.server_errors import ServerError
from modules.families.remote_file import RemoteFile
from modules.protocol.errors import PaddockError

T = TypeVar("T")
# A chat leaves the replica that has its cache if that has so many more requests than the one with the fewest.
_CLEARLY_BUSIER = 2
_LONGEST_WAIT_SECONDS = 60.0
# A server that lacks a route, or refuses a key for it, does so for every request.
_NO_SUCH_ROUTE = frozenset({401, 403, 404})


@dataclass(eq=False)
class Replica:
    """One server of the model.

    `dialect`: None until a check has found the model there. `fits`: the last check that got an answer found it.
    `running`: requests in flight. `problem`: a sentence why it is left out, or "". `failures`: failed requests and
    checks since its last success. `due`: when it is checked again, by time.monotonic(). `turn`: of its last request.
    """

    file: RemoteFile
    client: HttpClient
    dialect: OpenAi | None = None
    fits: bool = False
    running: int = 0
    problem: str = ""
    failures: int = 0
    due: float = 0.0
    turn: int = 0

    @property
    def address(self) -> str:
        """Return its address, as in the model's file."""
        return self.file.address


class ReplicaPool:
    """Chooses a replica for each request. Thread-safe.

    `check`: sets `dialect` and `fits` of a replica, and raises PaddockError if it cannot be used.
    `first_wait`: seconds until a replica that failed is checked; doubled after each further failure, up to a minute.
    A single replica is never left out.
    """

    def __init__(self, replicas: Sequence[Replica], check: Callable[[Replica], None], first_wait: float = 1.0) -> None:
        self.replicas = tuple(replicas)
        self._check = check
        self._first_wait = first_wait
        self._prefixes: PromptPrefixes[Replica] = PromptPrefixes()
        self._turns = itertools.count(1)
        self._changed = threading.Condition()
        self._closed = False
        self._checking = False
        for replica in self.replicas:
            if replica.problem:
                self.leave_out(replica, replica.problem)

    def close(self) -> None:
        """Stop the checks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def others(self, failed: Collection[Replica]) -> int:
        """Return how many replicas are well and not among `failed`."""
        return sum(1 for replica in self.replicas if not replica.problem and replica not in failed)

    @contextmanager
    def request(self, key: bytes = b"", failed: Collection[Replica] = ()) -> Iterator[Replica]:
        """Choose a replica that is not among `failed`, and count the request there while the block runs.

        `key`: of the prompt, as `prompt_key` returns it. If all are left out or failed, one of them is tried.
        """
        with self._changed:
            replica = self._choose(key, failed)
            replica.running += 1
            replica.turn = next(self._turns)
            self._prefixes.record(key, replica)
        try:
            yield replica
        finally:
            with self._changed:
                replica.running -= 1

    def _choose(self, key: bytes, failed: Collection[Replica]) -> Replica:
        known = [replica for replica in self.replicas if replica.fits]
        well = [replica for replica in known if not replica.problem and replica not in failed]
        usable = well or [replica for replica in known if replica not in failed] or known
        if not usable:
            raise PaddockError(
                f"None of the servers has the model any more. {self.replicas[0].problem} Load the model again once "
                "they run."
            )
        warm = self._prefixes.find(key)
        least = min(replica.running for replica in usable)
        if warm in usable and warm is not None and warm.running < least + _CLEARLY_BUSIER:
            return warm
        return min(usable, key=lambda replica: (replica.running, replica.turn))

    def ask(self, request: Callable[[OpenAi], T]) -> T:
        """Return the answer of one replica; of another one if the first does not answer. Raises ServerError."""
        failed: list[Replica] = []
        while True:
            with self.request(failed=failed) as replica:
                assert replica.dialect is not None
                try:
                    return request(replica.dialect)
                except ServerError as failure:
                    if failure.status in _NO_SUCH_ROUTE or not failure.elsewhere:
                        raise
                    self.failed(replica, failure)
                    failed.append(replica)
                    if not self.others(failed):
                        raise

    def succeeded(self, replica: Replica) -> None:
        """Note that the replica gave a whole reply."""
        replica.failures = 0

    def failed(self, replica: Replica, failure: ServerError) -> None:
        """Leave the replica out if the failure says so."""
        if failure.dead and len(self.replicas) > 1:
            self.leave_out(replica, failure.error.message)

    def leave_out(self, replica: Replica, problem: str) -> None:
        """Send no requests to this replica until a check of it succeeds."""
        with self._changed:
            wait = min(_LONGEST_WAIT_SECONDS, self._first_wait * 2 ** min(replica.failures, 16))
            if problem != replica.problem:
                print(f"{replica.address} is left out: {problem}", file=sys.stderr, flush=True)
            # Requests in flight may fail together. They count as one failure.
            replica.failures += 1 if not replica.problem or time.monotonic() >= replica.due else 0
            replica.problem = problem
            replica.due = max(replica.due, time.monotonic() + wait)
            self._prefixes.forget(replica)
            if not self._checking and not self._closed:
                self._checking = True
                threading.Thread(target=self._check_again, name="replica check", daemon=True).start()
            self._changed.notify_all()

    def _check_again(self) -> None:
        """Check replicas that are left out as they become due, until none is."""
        while True:
            with self._changed:
                out = [replica for replica in self.replicas if replica.problem]
                if not out or self._closed:
                    self._checking = False
                    return
                replica = min(out, key=lambda replica: replica.due)
                if (wait := replica.due - time.monotonic()) > 0:
                    self._changed.wait(wait)
                    continue
            try:
                self._check(replica)
            except Exception as error:
                # Whatever it answered, the checks go on.
                why = error.message if isinstance(error, PaddockError) else f"{type(error).__name__}: {error}."
                self.leave_out(replica, why)
                continue
            with self._changed:
                replica.problem = ""
            print(f"{replica.address} answers again.", file=sys.stderr, flush=True)
