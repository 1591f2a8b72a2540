"""Time to the first token over six turns of a growing chat, each adding the same length; against the raw engine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead import CASES, placed, raw, raw_command
from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.library.machine import inspect_machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry

TURNS = 6
REPLY = 48
CHATS = 3
QUESTION = "Tell me more about the context, the cache and the threads of a model, please, and explain each one. " * 6


@dataclass(frozen=True)
class Turn:
    """One turn. `seconds`: to the client's first token. `engine_seconds`: the prefill that the engine reports. `text`:
    the chat up to this turn, for the raw engine."""

    seconds: float
    engine_seconds: float
    text: str


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield the seconds of each turn for each of `loaders` (none: all that run here).

    The last turn has `ratio`, turn six over turn one; `raw_ratio`, the same of the raw engine in the same run; and
    `own_ms`, what Paddock adds to turn six: time to the first token minus the engine's own prefill.
    """
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    for name in loaders or CASES:
        spec = registry.get(name)
        environments.build(spec, lambda text, fraction: print(text, file=sys.stderr))
        with placed(name) as (model, address):
            chats, raw_chats = _both(name, environments.python(spec), model, address)
        seconds = _medians([[turn.seconds for turn in chat] for chat in chats])
        raw_seconds = _medians(raw_chats)
        own = median([chat[-1].seconds - chat[-1].engine_seconds for chat in chats])
        for turn, value in enumerate(seconds, 1):
            figure = Figure("turns", f"{name}, turn {turn}", value, "s")
            if turn == TURNS:
                ratios = {"raw_ratio": raw_seconds[-1] / raw_seconds[0], "own_ms": own * 1000}
                figure = Figure("turns", figure.case, value, "s", value / seconds[0], ratios)
            yield figure


def _medians(chats: Sequence[Sequence[float]]) -> list[float]:
    """Return the median over all chats, turn by turn."""
    return [median([chat[turn] for chat in chats]) for turn in range(TURNS)]


def _both(name: str, python: Path, model: Path, address: str) -> tuple[list[list[Turn]], list[list[float]]]:
    """Run chats with Paddock alternating with the same texts in the raw engine. The first of each warms up."""
    chats, raw_chats = [], []
    with (
        running("--model", model.name, "--loader", name, models=model.parent) as server,
        raw(python, *raw_command(name, model, address)) as engine,
    ):
        for number in range(CHATS + 1):
            chats.append(_chat(server, number))
            raw_chats.append([_raw_turn(engine, turn.text) for turn in chats[-1]])
    return chats[1:], raw_chats[1:]


def _chat(server: Running, number: int) -> list[Turn]:
    """Run the turns of one chat. It begins with `number`, so that no cache contains it."""
    messages: list[dict[str, str]] = []
    found = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"{number * 7919}: {QUESTION}" if turn == 0 else QUESTION})
        text = "\n".join(message["content"] for message in messages)
        begin = time.perf_counter()
        first = engine = 0.0
        reply = ""
        body = {"messages": messages, "max_tokens": REPLY, "temperature": 0, "ban_eos_token": True}
        body["stream_options"] = {"include_usage": True}
        for part in server.stream("/v1/chat/completions", body):
            content = part["choices"][0]["delta"].get("content") if part["choices"] else None
            if content:
                first = first or time.perf_counter() - begin
                reply += content
            if part.get("usage"):
                engine = part["usage"]["prefill_seconds"]
        found.append(Turn(first, engine, text))
        messages.append({"role": "assistant", "content": reply})
    return found


def _raw_turn(process: subprocess.Popen[str], text: str) -> float:
    """Return the seconds to the raw engine's first token of this turn."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([text, REPLY]) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the raw engine ended")
    return float(line.split()[1])
