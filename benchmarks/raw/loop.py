"""The loop of every raw engine: a round a line in, its seconds a line out.

A line is a number of tokens to make from the fixed prompt, or JSON `[prompt, tokens]`: one turn of a growing chat. Of a
turn, the time to the first token counts; the engine knows the prompt's beginning from the turn before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any


def serve(generate: Callable[[int], int], stream: Callable[[str, int], Iterator[object]] | None = None) -> None:
    """`generate(n)` makes n tokens and returns their number; `stream(prompt, n)` yields once for each of n tokens."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print("ready", file=stdout)
    for line in sys.stdin:
        wanted = json.loads(line)
        begin = time.perf_counter()
        if isinstance(wanted, int):
            print(generate(wanted), time.perf_counter() - begin, file=stdout)
            continue
        first, count = 0.0, 0
        assert stream is not None, "this engine has no turns"
        for _ in stream(*wanted):
            first = first or time.perf_counter() - begin
            count += 1
        print(count, first, file=stdout)


def serve_jobs(generator: Any, enqueue: Callable[[int], object]) -> None:
    """Serve rounds of an ExLlama generator. `enqueue(n)` gives it a job of n tokens."""

    def generate(count: int) -> int:
        enqueue(count)
        made = 0
        while generator.num_remaining_jobs():
            for result in generator.iterate():
                made = result.get("new_tokens", made)
        return int(made)

    generate(4)
    serve(generate)
