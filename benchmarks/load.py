"""Many clients at once: tokens per second, time to the first token and fairness, against the raw engine's batching.

All sides get the same requests in the same run, round by round: Paddock, the raw engine called by its threads
process, and the raw engine's HTTP server, called by the same clients as Paddock. Each client sends its requests one
after another, with a separate key.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.model import measured_model
from benchmarks.overhead import raw
from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry

LOADER = "xllamacpp"
CLIENTS = (1, 2, 4, 8, 16, 64)
SLOTS, CONTEXT = 16, 8192
TOKENS = 48
# Of each client; more where there are few clients, so that a round lasts some seconds.
LEAST_REQUESTS = 8
ROUNDS = 3
_BODY = {"max_tokens": TOKENS, "temperature": 0, "stream": True}
_OURS, _THEIRS = {**_BODY, "ban_eos_token": True}, {**_BODY, "ignore_eos": True}
_QUESTION = "What is a slot, and how do several replies share the cache of one engine?"

# Of each client, of each of its requests: when it began, when its first token came, and when it ended, in seconds.
Times = Sequence[Sequence[Sequence[float]]]


def run() -> Iterator[Figure]:
    """Yield the tokens per second of all clients together for each number of clients, with the ratio to the engine."""
    spec = Registry(ROOT / "loaders").get(LOADER)
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
    model = measured_model(ROOT, LOADER)
    with tempfile.TemporaryDirectory() as data:
        _save_settings(Path(data), model.name)
        with (
            running("--model", model.name, "--loader", LOADER, models=model.parent, user_data=Path(data)) as server,
            raw(environments.python(spec), "xllamacpp_load", model, f"{SLOTS},{CONTEXT}") as engine,
        ):
            port = _port(engine)
            for clients in CLIENTS:
                yield _figure(clients, [_round(server, engine, port, clients, number) for number in range(ROUNDS)])


def _save_settings(data: Path, model: str) -> None:
    settings = {"slots": SLOTS, "context": CONTEXT}
    saved = {model: {"loader": LOADER, "settings": settings}}
    (data / "model_settings.yaml").write_text(yaml.safe_dump(saved), encoding="utf-8")


def _round(
    server: Running, engine: subprocess.Popen[str], port: int, clients: int, number: int
) -> tuple[Times, Times, Times]:
    """Return the times of Paddock, of the raw engine and of its server at `port`, for the same requests."""
    requests = max(1, LEAST_REQUESTS // clients)

    def prompts(side: str) -> list[list[str]]:
        # No prompt comes twice, so that no cache has more than its first words.
        round = f"{side} {clients} {number}"
        return [[f"{round} {client} {each}: {_QUESTION}" for each in range(requests)] for client in range(clients)]

    ours, theirs, over_http = map(prompts, "abc")
    return _clients(server.port, ours, _OURS), _engine(engine, theirs), _clients(port, over_http, _THEIRS)


def _port(engine: subprocess.Popen[str]) -> int:
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write('{"port": true}\n')
    engine.stdin.flush()
    return int(engine.stdout.readline())


def _engine(engine: subprocess.Popen[str], prompts: Sequence[Sequence[str]]) -> Times:
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write(json.dumps({"prompts": prompts, "tokens": TOKENS}) + "\n")
    engine.stdin.flush()
    line = engine.stdout.readline()
    if not line:
        raise RuntimeError("the raw engine ended")
    times: Times = json.loads(line)
    return times


def _clients(port: int, prompts: Sequence[Sequence[str]], more: Mapping[str, object]) -> Times:
    found: list[list[list[float]]] = [[] for _ in prompts]
    start = time.perf_counter()

    def client(number: int) -> None:
        for prompt in prompts[number]:
            found[number].append(_ask(port, f"client {number}", {"prompt": prompt, **more}, start))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(len(times) != len(wanted) for times, wanted in zip(found, prompts, strict=True)):
        raise RuntimeError("a request failed")
    return found


def _ask(port: int, key: str, body: Mapping[str, object], start: float) -> list[float]:
    """Return when the request began, when its first token came, and when it ended."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    begun, first = time.perf_counter() - start, 0.0
    connection.request("POST", "/v1/completions", json.dumps(body), headers)
    response = connection.getresponse()
    while response.read1(1 << 16):
        first = first or time.perf_counter() - start
    connection.close()
    return [begun, first, time.perf_counter() - start]


def _figure(clients: int, rounds: Sequence[tuple[Times, Times, Times]]) -> Figure:
    ours, raw_engine, raw_server = ([one[side] for one in rounds] for side in range(3))
    ratios = [_rate(one) / _rate(theirs) for one, theirs in zip(ours, raw_engine, strict=True)]
    over_http = [_rate(one) / _rate(theirs) for one, theirs in zip(ours, raw_server, strict=True)]
    waits, raw_waits, http_waits = _waits(ours), _waits(raw_engine), _waits(raw_server)
    rates = [TOKENS * len(times) / (times[-1][2] - times[0][0]) for one in ours for times in one]
    more = {
        "per_client": median(rates),
        "first_p50": _quantile(waits, 0.5),
        "first_p95": _quantile(waits, 0.95),
        "raw_first_p50": _quantile(raw_waits, 0.5),
        "raw_first_p95": _quantile(raw_waits, 0.95),
        "http_ratio": median(over_http),
        "http_first_p50": _quantile(http_waits, 0.5),
        "fairness": median([_fairness(one) for one in ours]),
    }
    rate = median([_rate(one) for one in ours])
    return Figure("load", f"{LOADER}, {clients} clients", rate, "tokens/s", median(ratios), more)


def _waits(rounds: Sequence[Times]) -> list[float]:
    """Return the seconds from each request to its first token, in order."""
    return sorted(first - begun for one in rounds for times in one for begun, first, _ in times)


def _rate(clients: Times) -> float:
    """Return the tokens per second of all clients together."""
    last = max(end for times in clients for _, _, end in times)
    return TOKENS * sum(map(len, clients)) / last


def _fairness(clients: Times) -> float:
    """Return Jain's index of the clients' rates (Jain, Chiu and Hawe, 1984): 1 if all are equal, 1/n if one has all."""
    rates = [len(times) / (times[-1][2] - times[0][0]) for times in clients]
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
