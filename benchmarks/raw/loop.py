"""The loop of every raw engine: a number of tokens a line in, seconds a line out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable


def serve(generate: Callable[[int], int]) -> None:
    """`generate(n)` makes n tokens and returns how many it made."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print("ready", file=stdout)
    for line in sys.stdin:
        begin = time.perf_counter()
        count = generate(int(line))
        print(count, time.perf_counter() - begin, file=stdout)
