"""Guessing a secret costs time, and is written down."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

import pytest
from starlette.types import Message

from modules.api.failed_logins import FIRST_SECONDS, MOST_SECONDS, MOST_WAITING, FailedLogins
from modules.api.security import SecurityMiddleware
from modules.settings.config import Config
from tests.support.event_loop import run_async


class Clock:
    """Time that passes while something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def scope(secret: str | None, client: str = "10.0.0.1") -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1")]
    if secret is not None:
        headers.append((b"authorization", b"Basic " + base64.b64encode(f"paddock:{secret}".encode())))
    return {
        "type": "http", "method": "GET", "path": "/", "headers": headers, "client": (client, 1), "scheme": "http",
        "http_version": "1.1",
    }  # fmt: skip


def gate(config: Config) -> tuple[SecurityMiddleware, Clock, Any]:
    passed: list[int] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        passed.append(200)

    clock = Clock()
    found = SecurityMiddleware(inside, config)
    found._failed = FailedLogins(lambda: clock.now, clock.sleep)
    statuses: list[int] = passed

    async def ask(what: dict[str, Any]) -> int:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive() -> Message:
            return {"type": "http.request"}

        await found(what, receive, send)
        return statuses[-1]

    return found, clock, ask


def with_password(config: Config) -> Config:
    return Config(config.root, password="right", listen=True)


def test_each_wrong_secret_waits_longer_and_a_right_one_not_at_all(config: Config) -> None:
    _, clock, ask = gate(with_password(config))

    async def run() -> None:
        assert [await ask(scope(f"wrong{n}")) for n in range(8)] == [401] * 8
        assert clock.slept[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
        assert clock.slept[-1] == MOST_SECONDS
        count = len(clock.slept)
        assert await ask(scope("right")) == 200
        assert await ask(scope(None)) == 401, "a browser's first request carries none"
        assert len(clock.slept) == count
        assert await ask(scope("wrong", "10.0.0.2")) == 401
        assert clock.slept[-1] == FIRST_SECONDS, "another sender begins at the beginning"
        clock.now += 3600
        assert await ask(scope("wrong")) == 401
        assert clock.slept[-1] == FIRST_SECONDS, "old failures are forgotten"

    run_async(run())


def test_guesses_side_by_side_are_refused_without_a_look(config: Config) -> None:
    found, clock, ask = gate(with_password(config))
    may_end = asyncio.Event()

    async def wait(seconds: float) -> None:
        await may_end.wait()

    found._failed = FailedLogins(lambda: clock.now, wait)

    async def run() -> None:
        waiting = [asyncio.create_task(ask(scope("wrong"))) for _ in range(MOST_WAITING)]
        while found._failed.refusal(scope("x"))[0] != 429:
            await asyncio.sleep(0)
        assert await ask(scope("right")) == 429
        assert await ask(scope(None)) == 401
        assert await ask(scope("right", "10.0.0.2")) == 200
        may_end.set()
        await asyncio.gather(*waiting)
        assert await ask(scope("right")) == 200

    run_async(run())


def test_the_log_names_the_sender_and_no_secret(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    _, _, ask = gate(with_password(config))

    async def run() -> None:
        for _ in range(3):
            await ask(scope("my-other-password"))

    with caplog.at_level(logging.WARNING):
        run_async(run())
    assert "10.0.0.1" in caplog.text and "my-other-password" not in caplog.text
    assert len(caplog.records) == 1, "one line a minute"
