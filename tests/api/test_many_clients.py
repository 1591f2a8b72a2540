"""Many clients of one model: they take turns, too many get 429, and one that hangs up frees its slot."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import httpx
import pytest
from fastapi import Request

from modules.api.client_name import client_name
from modules.app import App
from modules.protocol.sampling import SamplingParams
from modules.runtime.client_model import ClientModel
from modules.settings.accounts import Account
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

PATIENCE = 90.0
MANY = 900_000
SECONDS_A_TOKEN = 0.2


@pytest.fixture
def client(app: App) -> Iterator[httpx.Client]:
    """Serve a model that answers one request at a time, a word every 0.2 s."""
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1, "delay": SECONDS_A_TOKEN})
    with serving(app) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield client


def _stream(client: httpx.Client, stack: ExitStack, key: str = "one", prompt: str = "a !long") -> httpx.Response:
    """Begin a stream, which ends with `stack`. It is in the queue when this returns."""
    body = {"prompt": prompt, "max_tokens": MANY, "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    return stack.enter_context(client.stream("POST", "/v1/completions", json=body, headers=headers))


def _words(response: httpx.Response, stack: ExitStack) -> Iterator[str]:
    """Yield the words of a stream until `stack` ends. A generator that nothing refers to closes its connection."""

    def words() -> Generator[str, None, None]:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line[6:])["choices"][0]["text"]

    return stack.enter_context(closing(words()))


def test_a_client_with_one_request_does_not_wait_for_all_of_another(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    blocker = app.supervisor.generate("page !long", SamplingParams(max_new_tokens=MANY))
    ended: list[str] = []
    started = []
    for name in ("a", "a", "a", "a", "b", "c", "b"):
        generation = ClientModel(app.supervisor, name).generate("x", SamplingParams())
        generation.on_change(lambda one=generation, of=name: ended.append(of) if one.done else None)  # type: ignore[misc]
        started.append(generation)
    blocker.cancel()
    assert all(generation.wait(PATIENCE) for generation in started)
    assert ended == ["a", "b", "c", "a", "b", "a", "a"]


def test_free_slots_go_to_the_client_with_the_fewest_replies(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 2})
    long = SamplingParams(max_new_tokens=MANY)
    first = [ClientModel(app.supervisor, "a").generate(f"{number} !long", long) for number in range(4)]
    other = ClientModel(app.supervisor, "b").generate("b !long", long)
    next(first[1].follow())
    first[0].cancel()
    next(other.follow())
    assert first[2].tokens == 0
    for generation in [*first, other]:
        generation.cancel()
    assert all(generation.wait(PATIENCE) for generation in [*first, other])


def test_too_many_requests_are_429_and_another_client_still_gets_in(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.runtime.waiting_generations.MOST_WAITING", 4)
    monkeypatch.setattr("modules.runtime.waiting_generations.MOST_OF_ONE", 2)
    with ExitStack() as stack:
        next(_words(_stream(client, stack), stack))
        assert [_stream(client, stack).status_code for _ in range(2)] == [200, 200]
        refused = client.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "x"}]},
            headers={"Authorization": "Bearer one"},
        )
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["code"] == "queue_full"
        assert "2 of your requests wait" in refused.json()["error"]["message"]
        assert [_stream(client, stack, "two").status_code for _ in range(2)] == [200, 200]
        assert client.post("/v1/completions", json={"prompt": "x"}).status_code == 429
        assert client.post("/paddock/chats").status_code == 200


def test_a_client_that_hangs_up_frees_its_slot_within_a_token(app: App, client: httpx.Client) -> None:
    with ExitStack() as others:
        with ExitStack() as first:
            words = _words(_stream(client, first), first)
            read = [next(words) for _ in range(3)]
            other = _stream(client, others, "two", "b !long")
        next(_words(other, others))
        ended = app.supervisor.last_finished()
        assert ended is not None and ended.reason == "cancelled"
        # The one that was under way, and one that the engine had begun when it heard of the end.
        assert ended.generated_tokens <= len(read) + 2


def test_a_client_that_hangs_up_while_it_waits_never_begins(app: App, client: httpx.Client) -> None:
    with ExitStack() as running:
        next(_words(_stream(client, running), running))
        with ExitStack() as waiting:
            _stream(client, waiting, "two", "never")
    answer = client.post("/v1/completions", json={"prompt": "again", "max_tokens": 1}).json()
    assert answer["choices"][0]["text"] == "again"


def _name(config: Config, address: str, account: Account | None = None, **headers: str) -> str:
    """Return the name of the client that sends such a request."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "client": (address, 1), "headers": sent, "state": {"paddock_account": account}}
    return client_name(Request(scope), config)


def test_a_client_is_an_account_or_an_address_with_a_key(config: Config) -> None:
    anna = Account("anna", "user", "1", "")
    names = [
        _name(config, "10.0.0.1"),
        _name(config, "10.0.0.2"),
        _name(config, "10.0.0.1", authorization="Bearer one"),
        _name(config, "10.0.0.1", x_api_key="one"),
        _name(config, "10.0.0.1", anna),
    ]
    assert len(set(names)) == 5 and not any("one" in name for name in names)
    assert _name(config, "10.0.0.2", anna, x_api_key="two") == names[-1]
    # Without a proxy, a client could take any number of names by this header.
    assert _name(config, "10.0.0.1", x_forwarded_for="1.2.3.4") == names[0]
    behind = replace(config, public_origin="https://example.org")
    assert _name(behind, "127.0.0.1", x_forwarded_for="9.9.9.9, 10.0.0.1") == names[0]
