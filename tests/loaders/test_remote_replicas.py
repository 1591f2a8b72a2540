"""Several servers of one model: which one gets a request, and what happens when one of them fails."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loaders.remote.http_client import HttpClient
from loaders.remote.openai_dialect import OpenAi
from loaders.remote.prompt_prefixes import PromptPrefixes, prompt_key
from loaders.remote.replicas import Replica, ReplicaPool
from loaders.remote.server_errors import unreachable_error
from loaders.remote.spec import Settings
from loaders.remote.worker import Engine
from modules.families.remote_file import RemoteFile
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, PaddockError, PromptError
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import Outcome
from tests.support.engine_replies import whole_reply
from tests.support.strange_server import Strange, StrangeServer, models, strange

CHAT = "/v1/chat/completions"
Load = Callable[..., tuple[Engine, ModelInfo]]


@pytest.fixture
def servers() -> Iterator[list[StrangeServer]]:
    """Run three servers of one model, which answer each chat at once."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(strange({"/v1/models": models("small")})) for _ in range(3)]
        for server in found:
            server.answers[CHAT] = lambda request: request.texts("Hello ", "there")
        yield found


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Return a function that loads the model at these addresses. Its checks of servers end with the test."""
    engines = []

    def load(*addresses: str, **lines: object) -> tuple[Engine, ModelInfo]:
        path = tmp_path / "far.remote.yaml"
        values = {"address": f"[{', '.join(addresses)}]", "retries": 0, **lines}
        path.write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
        engines.append(Engine())
        return engines[-1], engines[-1].load(path, Settings(), lambda text, part: None)

    yield load
    for engine in engines:
        engine.unload()


def ask(engine: Engine, *turns: str) -> tuple[str, Outcome]:
    """Return (text, outcome) of a chat with these turns. An error has the text so far as its `text`."""
    roles = ("user", "assistant")
    messages = [{"role": "system", "content": "Be kind."}]
    messages += [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return whole_reply(engine.generate(Generate("1", params=SamplingParams(), messages=messages), threading.Event()))


def chats(server: StrangeServer) -> int:
    """Return how many chats the server was asked."""
    return sum(request.path == CHAT for request in server.seen)


def closed_port() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_requests_at_once_are_spread_evenly(servers: list[StrangeServer], load: Load) -> None:
    together = threading.Barrier(6)

    def answer(request: Strange) -> None:
        together.wait(60)
        request.texts("Hello")

    for server in servers:
        server.answers[CHAT] = answer
    engine, info = load(*(server.address for server in servers))
    assert info.slots == 3 * Settings().slots
    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(lambda name: ask(engine, name)[1], "abcdef"))
    assert [chats(server) for server in servers] == [2, 2, 2]
    assert sorted(outcome.served_by for outcome in outcomes) == sorted(2 * [server.address for server in servers])


def test_a_chat_stays_with_the_server_that_has_read_it(servers: list[StrangeServer], load: Load) -> None:
    engine, _ = load(*(server.address for server in servers))
    first = {name: ask(engine, name)[1].served_by for name in "abcdef"}
    assert sorted(first.values()) == sorted(2 * [server.address for server in servers])
    for name in "cafbed":
        assert ask(engine, name, "Hello there", "And then?")[1].served_by == first[name]
        assert ask(engine, name, "Hello there", "And then?", "Nothing.", "Oh?")[1].served_by == first[name]


def test_a_chat_leaves_a_server_that_is_clearly_busier(servers: list[StrangeServer], load: Load) -> None:
    engine, _ = load(*(server.address for server in servers))
    home = ask(engine, "a")[1].served_by
    busy = next(server for server in servers if server.address == home)
    held, arrived = threading.Event(), threading.Semaphore(0)

    def hold(request: Strange) -> None:
        arrived.release()
        held.wait(60)
        request.texts("Hello")

    busy.answers[CHAT] = hold
    with ThreadPoolExecutor(2) as threads:
        waiting = []
        for _ in range(2):
            waiting.append(threads.submit(ask, engine, "a", "Hello there", "One"))
            assert arrived.acquire(timeout=60)
        elsewhere = ask(engine, "a", "Hello there", "Two")[1].served_by
        held.set()
        assert {found.result()[1].served_by for found in waiting} == {home}
    assert elsewhere != home


def test_a_request_that_has_not_begun_goes_to_another_server(servers: list[StrangeServer], load: Load) -> None:
    def hang_up(request: Strange) -> None:
        # Checks of it fail from now on.
        servers[0].answers["/v1/models"] = lambda request: request.send("{}", status=503)
        request.begin_events()
        request.event({"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})

    servers[0].answers[CHAT] = hang_up
    servers[1].answers[CHAT] = lambda request: request.send({"error": "full"}, status=429)
    engine, _ = load(*(server.address for server in servers))
    for _ in range(2):
        text, outcome = ask(engine, "a")
        assert (text, outcome.served_by) == ("Hello there", servers[2].address)
    # The second request found the chat with the third server. A full server is still asked, a broken one is not.
    assert [chats(server) for server in servers] == [1, 1, 2]
    assert ask(engine, "b")[1].served_by == servers[2].address
    assert [chats(server) for server in servers] == [1, 2, 3]


def test_a_server_that_stays_silent_gives_its_request_to_another(servers: list[StrangeServer], load: Load) -> None:
    servers[0].answers[CHAT] = lambda request: None if servers[0].released.wait() else None
    engine, _ = load(servers[0].address, servers[1].address, answer_timeout=0.3)
    assert ask(engine, "a")[1].served_by == servers[1].address


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"delta": "text"}]},
        {"choices": [{"message": ["text"]}]},
        {"warnings": 7},
        {"usage": {"prompt_tokens_details": [1]}},
        {"choices": {"0": "text"}},
        [1, 2],
        "[" * 100_000,
    ],
    ids=["delta", "message", "warnings", "usage", "choices", "list", "deep"],
)
def test_a_server_that_answers_rubbish_gives_its_request_to_another(
    servers: list[StrangeServer], load: Load, event: object
) -> None:
    def answer(request: Strange) -> None:
        request.begin_events()
        request.event(event)

    servers[0].answers[CHAT] = answer
    engine, _ = load(*(server.address for server in servers))
    assert [ask(engine, turn)[0] for turn in ("a", "b", "c")] == ["Hello there"] * 3


def test_of_three_servers_one_dead_one_silent_and_one_that_answers_rubbish_a_sentence_comes_back(
    servers: list[StrangeServer], load: Load
) -> None:
    engine, _ = load(*(server.address for server in servers), answer_timeout=0.3)
    servers[0].shutdown()
    servers[0].server_close()
    servers[1].answers[CHAT] = lambda request: None if servers[1].released.wait() else None
    servers[2].answers[CHAT] = lambda request: request.send("<html>", kind="text/html")
    for turn in ("a", "b"):
        with pytest.raises(PaddockError) as caught:
            ask(engine, turn)
        assert caught.value.message.endswith(".") and "http://127.0.0.1" in caught.value.message
    # Each was tried, once for each request at most.
    assert [chats(server) > 0 for server in servers[1:]] == [True, True]


def test_a_reply_in_the_middle_ends_with_the_name_of_the_dead_server(servers: list[StrangeServer], load: Load) -> None:
    servers[0].answers[CHAT] = lambda request: request.texts("Once ", "upon", finish=None)
    engine, _ = load(*(server.address for server in servers))
    with pytest.raises(PaddockError, match="in the middle of its answer") as broken:
        ask(engine, "a")
    assert broken.value.text == "Once upon"  # type: ignore[attr-defined]
    assert servers[0].address in broken.value.message
    assert "Other servers with this model answer" in broken.value.message
    assert ask(engine, "a")[1].served_by != servers[0].address


def test_a_request_that_is_at_fault_is_sent_once(servers: list[StrangeServer], load: Load) -> None:
    for server in servers:
        server.answers[CHAT] = lambda request: request.send({"error": "no such parameter"}, status=400)
    engine, _ = load(*(server.address for server in servers))
    with pytest.raises(PromptError, match="does not take this request"):
        ask(engine, "a")
    assert sum(map(chats, servers)) == 1


def test_if_all_servers_fail_the_request_is_repeated_and_the_last_error_is_reported(
    servers: list[StrangeServer], load: Load
) -> None:
    for server in servers:
        server.answers[CHAT] = lambda request: request.send("{}", status=503, Retry_After="0.01")
    engine, _ = load(*(server.address for server in servers), retries=1)
    for server in servers:
        server.answers["/v1/models"] = server.answers[CHAT]
    with pytest.raises(PaddockError, match="failed .status 503"):
        ask(engine, "a")
    assert [chats(server) for server in servers] in ([2, 1, 1], [1, 2, 1], [1, 1, 2])


def test_a_load_leaves_out_a_server_that_does_not_answer(servers: list[StrangeServer], load: Load) -> None:
    gone = closed_port()
    engine, info = load(gone, servers[0].address)
    (note,) = [note for note in info.notes if "left out" in note]
    assert note.startswith(f"{gone} is left out: {gone} cannot be reached: nothing listens there.")
    assert {ask(engine, name)[1].served_by for name in "abc"} == {servers[0].address}
    with pytest.raises(PaddockError, match="None of the 2 servers can be used") as refused:
        load(gone, closed_port())
    assert refused.value.message.count("nothing listens there") == 2


def test_a_load_leaves_out_a_server_with_another_model_or_context(servers: list[StrangeServer], load: Load) -> None:
    servers[0].answers["/v1/models"] = models("small", max_model_len=4096)
    servers[1].answers["/v1/models"] = models("large", max_model_len=4096)
    servers[2].answers["/v1/models"] = models("small", max_model_len=1024)
    addresses = [server.address for server in servers]
    engine, info = load(*addresses)
    other, small = [note for note in info.notes if "left out" in note]
    assert f"{addresses[1]} is left out: It has the model large, and {addresses[0]} has small." in other
    assert f"{addresses[2]} is left out: Its context is 1,024 tokens, and that of {addresses[0]} 4,096." in small
    assert {ask(engine, name)[1].served_by for name in "abc"} == {addresses[0]}
    # A length that the user sets is enough for a server that has more.
    engine, info = load(*addresses, context=1024)
    assert [note.split()[0] for note in info.notes if "left out" in note] == [addresses[1]]
    engine, info = load(*addresses, context=2048)
    assert [note.split()[0] for note in info.notes if "left out" in note] == addresses[1:]


def test_a_load_leaves_out_a_server_with_another_vocabulary(servers: list[StrangeServer], load: Load) -> None:
    for place, server in enumerate(servers):
        server.answers["/v1/models"] = models("small", owned_by="vllm", max_model_len=777)
        first = 7 if place == 1 else 5
        server.answers["/tokenize"] = lambda request, first=first: request.send({"tokens": [first]})  # type: ignore[misc]
    engine, info = load(*(server.address for server in servers))
    (note,) = [note for note in info.notes if "left out" in note]
    assert note.startswith(f"{servers[1].address} is left out: Its tokenizer gives other tokens")


def test_a_load_leaves_out_another_kind_of_server(servers: list[StrangeServer], load: Load) -> None:
    servers[1].answers["/info"] = lambda request: request.send({"max_total_tokens": 100})
    engine, info = load(servers[0].address, servers[1].address)
    (note,) = [note for note in info.notes if "left out" in note]
    assert "It is Text Generation Inference, and" in note


def test_other_requests_go_to_a_server_that_answers(servers: list[StrangeServer], load: Load) -> None:
    engine, _ = load(*(server.address for server in servers))
    servers[0].answers["/v1/embeddings"] = lambda request: request.send("", status=502)
    data = [{"index": 0, "embedding": [1.0]}]
    for server in servers[1:]:
        server.answers["/v1/embeddings"] = lambda request: request.send({"data": data})
    assert [engine.embed(["a"]) for _ in range(3)] == 3 * [[[1.0]]]


def _pool(check: Callable[[Replica], None], count: int = 2) -> ReplicaPool:
    files = [RemoteFile(address=f"http://host:{place + 1}") for place in range(count)]
    clients = [HttpClient(file, "") for file in files]
    replicas = [Replica(client.file, client, OpenAi(client, "small"), fits=True) for client in clients]
    return ReplicaPool(replicas, check, first_wait=0.001)


def test_a_server_that_failed_is_checked_until_it_answers(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    refusals, back = iter([ModelError("It starts."), KeyError("data"), ModelError("It starts.")]), threading.Event()

    def check(replica: Replica) -> None:
        if refusal := next(refusals, None):
            raise refusal
        back.set()

    pool = _pool(check)
    dead, alive = pool.replicas
    pool.failed(dead, unreachable_error(dead.file, ConnectionRefusedError()))
    with pool.request() as chosen, pool.request() as also:
        assert chosen is also is alive
    assert back.wait(60)
    # The thread that checks it ends once it is back.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert (dead.problem, dead.failures) == ("", 4)
    with pool.request() as chosen, pool.request() as also:
        assert {chosen, also} == {alive, dead}
    assert "http://host:1 answers again." in capsys.readouterr().err


def test_the_only_server_is_never_left_out() -> None:
    pool = _pool(lambda replica: None, count=1)
    (only,) = pool.replicas
    pool.failed(only, unreachable_error(only.file, ConnectionRefusedError()))
    with pool.request() as chosen:
        assert (chosen, only.problem) == (only, "")


def test_a_prompt_is_found_by_a_whole_earlier_prompt_at_its_beginning() -> None:
    prefixes: PromptPrefixes[str] = PromptPrefixes(most=3)
    system = {"role": "system", "content": "Be kind."}
    first = [system, {"role": "user", "content": "Hi"}]
    prefixes.record(prompt_key("", first), "a")
    longer = [*first, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Well?"}]
    assert prefixes.find(prompt_key("", longer)) == "a"
    assert prefixes.find(prompt_key("", [system, {"role": "user", "content": "Hi there"}])) is None
    prefixes.record(prompt_key("", longer), "b")
    assert prefixes.find(prompt_key("", longer)) == "b"
    prefixes.forget("b")
    assert prefixes.find(prompt_key("", longer)) == "a"
    for text in ("one", "two", "three"):
        prefixes.record(prompt_key(text, ()), text)
    assert prefixes.find(prompt_key("", longer)) is None
    assert prefixes.find(prompt_key("two and more", ())) == "two"
