"""xllamacpp's own server under several clients: `python xllamacpp_load_raw.py MODEL PROMPT SLOTS,CONTEXT`.

A line in is JSON, `{"prompts": [[text, …] of each client], "tokens": n}`; a line out the times of each request, in
seconds since the start: `[[[begun, first token, end], …] of each client]`. The clients are threads of this process. For
clients elsewhere, `{"port": true}` is answered by the port of the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import xllamacpp


def main(path: str, prompt: str, options: str) -> None:
    """Serve rounds."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    slots, context = map(int, options.split(","))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = context
    parameters.n_parallel = slots
    parameters.kv_unified = True
    # As Paddock's loader has it: only the slots keep prompts.
    parameters.cache_ram_mib = 0
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    server = xllamacpp.Server(parameters)

    def ask(text: str, tokens: int, start: float) -> list[float]:
        begun, first = time.perf_counter() - start, 0.0

        def arrived(part: dict[str, Any]) -> bool:
            nonlocal first
            if "choices" in part:
                first = first or time.perf_counter() - start
            return False

        body = {"prompt": text, "max_tokens": tokens, "temperature": 0.0, "ignore_eos": True, "stream": True}
        server.handle_completions(body, arrived)
        return [begun, first, time.perf_counter() - start]

    ask(prompt, 4, time.perf_counter())
    print("ready", file=stdout)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "port" in wanted:
            print(server.listening_address.rsplit(":", 1)[1], file=stdout)
            continue
        print(json.dumps(_round(ask, wanted["prompts"], wanted["tokens"])), file=stdout)


def _round(
    ask: Callable[[str, int, float], list[float]], prompts: list[list[str]], tokens: int
) -> list[list[list[float]]]:
    """Return the times of all requests, each client's one after another and all clients at once."""
    found: list[list[list[float]]] = [[] for _ in prompts]
    start = time.perf_counter()

    def client(number: int) -> None:
        found[number].extend(ask(text, tokens, start) for text in prompts[number])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
