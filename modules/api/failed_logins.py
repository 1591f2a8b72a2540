"""Slow down senders of wrong passwords and keys, and log their addresses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Scope

from modules.api.authentication import LOGIN

_LOG = logging.getLogger(__name__)
FIRST_SECONDS = 0.5
MOST_SECONDS = 8.0
# Guesses of one sender that wait at a time. More are refused without a check.
MOST_WAITING = 8
_FORGET_SECONDS = 900.0
_LOG_SECONDS = 60.0
_MOST_SENDERS = 4096
TOO_MANY = "Too many wrong passwords or keys came from your address. Wait a minute, then try again."


@dataclass
class _Sender:
    failures: int = 0
    waiting: int = 0
    last: float = 0.0
    logged: float = float("-inf")


class FailedLogins:
    """Count failures by sender and forget them after 15 minutes. Only for use on the server's event loop."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def refusal(self, scope: Scope) -> tuple[int, str]:
        """Return (429, sentence) for a guess of a sender with too many waiting guesses, else (200, "")."""
        sender = self._senders.get(_address(scope))
        busy = sender is not None and sender.waiting >= MOST_WAITING and _is_guess(scope)
        return (429, TOO_MANY) if busy else (200, "")

    async def slow_down(self, scope: Scope, status: int) -> None:
        """Wait before a wrong secret is answered. A request without a secret is no guess: browsers begin so."""
        if status != 401 or not _is_guess(scope):
            return
        address, now = _address(scope), self._clock()
        sender = self._senders.setdefault(address, _Sender())
        self._senders.move_to_end(address)
        while len(self._senders) > _MOST_SENDERS:
            self._senders.popitem(last=False)
        if now - sender.last > _FORGET_SECONDS:
            sender.failures = 0
        sender.failures, sender.last = sender.failures + 1, now
        if now - sender.logged > _LOG_SECONDS:
            sender.logged = now
            _LOG.warning("A wrong password or API key came from %s (%d lately).", address, sender.failures)
        sender.waiting += 1
        try:
            await self._sleep(min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(10, sender.failures - 1)))
        finally:
            sender.waiting -= 1


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "an unknown address"


def _is_guess(scope: Scope) -> bool:
    if scope.get("path") == LOGIN and scope.get("method") == "POST":
        return True
    return any(name in (b"authorization", b"x-api-key") for name, _ in scope["headers"])
