"""Many clients at once: tokens per second, time to the first token and fairness, against the raw engine's batching.

Both sides get the same requests in the same run, round by round. Each client sends its requests one after another, with
a separate key.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
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
            for clients in CLIENTS:
                yield _figure(clients, [_round(server, engine, clients, number) for number in range(ROUNDS)])


def _save_settings(data: Path, model: str) -> None:
    settings = {"slots": SLOTS, "context": CONTEXT}
    saved = {model: {"loader": LOADER, "settings": settings}}
    (data / "model_settings.yaml").write_text(yaml.safe_dump(saved), encoding="utf-8")


def _round(server: Running, engine: subprocess.Popen[str], clients: int, number: int) -> tuple[Times, Times]:
    """Return the times of Paddock and those of the raw engine for the same requests."""
    requests = max(1, LEAST_REQUESTS // clients)
    prompts = [[f"{number} {client} {each}: {_QUESTION}" for each in range(requests)] for client in range(clients)]
    # The one that comes second would find the prompts of the first in no cache: the caches are apart.
    return _paddock(server, prompts), _engine(engine, prompts)


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


def _paddock(server: Running, prompts: Sequence[Sequence[str]]) -> Times:
    found: list[list[list[float]]] = [[] for _ in prompts]
    start = time.perf_counter()

    def client(number: int) -> None:
        for prompt in prompts[number]:
            found[number].append(_ask(server, f"client {number}", prompt, start))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(len(times) != len(wanted) for times, wanted in zip(found, prompts, strict=True)):
        raise RuntimeError("a request failed")
    return found


def _ask(server: Running, key: str, prompt: str, start: float) -> list[float]:
    """Return when the request began, when its first token came, and when it ended."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    body = {"prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ban_eos_token": True, "stream": True}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    begun, first = time.perf_counter() - start, 0.0
    connection.request("POST", "/v1/completions", json.dumps(body), headers)
    response = connection.getresponse()
    while response.read1(1 << 16):
        first = first or time.perf_counter() - start
    connection.close()
    return [begun, first, time.perf_counter() - start]


def _figure(clients: int, rounds: Sequence[tuple[Times, Times]]) -> Figure:
    ratios = [_rate(ours) / _rate(theirs) for ours, theirs in rounds]
    waits = sorted(first - begun for ours, _ in rounds for times in ours for begun, first, _ in times)
    raw_waits = sorted(first - begun for _, theirs in rounds for times in theirs for begun, first, _ in times)
    rates = [TOKENS * len(times) / (times[-1][2] - times[0][0]) for ours, _ in rounds for times in ours]
    more = {
        "per_client": median(rates),
        "first_p50": _quantile(waits, 0.5),
        "first_p95": _quantile(waits, 0.95),
        "raw_first_p50": _quantile(raw_waits, 0.5),
        "raw_first_p95": _quantile(raw_waits, 0.95),
        "fairness": median([_fairness(ours) for ours, _ in rounds]),
    }
    rate = median([_rate(ours) for ours, _ in rounds])
    return Figure("load", f"{LOADER}, {clients} clients", rate, "tokens/s", median(ratios), more)


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
