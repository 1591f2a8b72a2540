"""xllamacpp's own `handle_completions`, greedy and streaming: `python xllamacpp_raw.py MODEL PROMPT -`."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

import xllamacpp
from loop import serve


def main(path: str, prompt: str, _dtype: str) -> None:
    """Serve rounds."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 4096
    parameters.n_parallel = 2
    server = xllamacpp.Server(parameters)

    def generate(count: int) -> int:
        made = 0

        def arrived(part: dict[str, Any]) -> bool:
            nonlocal made
            # Not one a token: a character's bytes can be several tokens, and come as one.
            made = part.get("usage", {}).get("completion_tokens", made)
            return False

        body = {"prompt": prompt, "max_tokens": count, "temperature": 0.0, "ignore_eos": True, "stream": True}
        server.handle_completions(body, arrived)
        return made

    def stream(text: str, count: int) -> Iterator[None]:
        arrived: queue.Queue[bool] = queue.Queue()
        body = {"prompt": text, "max_tokens": count, "temperature": 0.0, "ignore_eos": True, "stream": True}

        def take(part: dict[str, Any]) -> bool:
            arrived.put(True)
            return False

        def run() -> None:
            server.handle_completions(body, take)
            arrived.put(False)

        threading.Thread(target=run).start()
        while arrived.get():
            yield None

    generate(4)
    serve(generate, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
