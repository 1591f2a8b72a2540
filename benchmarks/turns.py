"""Time to the first token over six growing turns of one chat, each adding as much."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks.overhead import CASES, placed
from benchmarks.report import Figure, median
from benchmarks.server import Running, running

TURNS = 6
REPLY = 48
CHATS = 3
QUESTION = "Tell me more about the context, the cache and the threads of a model, please, and explain each one. " * 6


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """For each of `loaders` (none: all that run here) the seconds of each turn; the last has the ratio of turn six to
    turn one."""
    for name in loaders or CASES:
        with (
            placed(name) as (model, _),
            running("--model", model.name, "--loader", name, models=model.parent) as server,
        ):
            chats = [_chat(server, number) for number in range(CHATS + 1)][1:]
        seconds = [median([chat[turn] for chat in chats]) for turn in range(TURNS)]
        for turn, value in enumerate(seconds, 1):
            ratio = seconds[-1] / seconds[0] if turn == TURNS else None
            yield Figure("turns", f"{name}, turn {turn}", value, "s", ratio)


def _chat(server: Running, number: int) -> list[float]:
    """Seconds to the first token of each turn. `number` begins the chat, so that no cache knows it."""
    messages = []
    found = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"{number * 7919}: {QUESTION}" if turn == 0 else QUESTION})
        begin = time.perf_counter()
        first = 0.0
        reply = ""
        body = {"messages": messages, "max_tokens": REPLY, "temperature": 0, "ban_eos_token": True}
        for part in server.stream("/v1/chat/completions", body):
            text = part["choices"][0]["delta"].get("content") if part["choices"] else None
            if text:
                first = first or time.perf_counter() - begin
                reply += text
        found.append(first)
        messages.append({"role": "assistant", "content": reply})
    return found
