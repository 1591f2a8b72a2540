"""Sixty turns of a chat that is longer than the context: cut in steps, beside a client that cuts at every turn."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.app import App
from modules.library.machine import inspect_machine
from modules.protocol.reply_room import reply_room
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config

TURNS = 60
REPLY = 24
CONTEXT = 1024
# Loaders with three kinds of caches, and the demo model in their format: what is read does not depend on its size.
CASES = {"xllamacpp": "demo.Q8_0.gguf", "llamacpp": "demo.Q8_0.gguf", "transformers": "demo"}
_SYSTEM = {"role": "system", "content": "Answer briefly."}
_QUESTION = "Tell me about the context, the cache and the threads of a model, and what each of them is good for."
# Each side of each loader begins with another number, so that no cache has its chat.
_APART = 7919

Message = dict[str, str]
# Returns the messages to send of a history.
Cut = Callable[[list[Message]], list[Message]]


@dataclass(frozen=True)
class Turn:
    """One turn. `seconds`: to the first token. `read`: tokens of the prompt that were not cached."""

    seconds: float
    prompt: int
    read: int


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield, for each of `loaders` (none: all of CASES), both sides' mean seconds to the first token of a turn.

    `read`: tokens read per turn; `prompt`: tokens of a prompt; `median`, `slowest`: seconds. The side that is cut in
    steps has `ratio`, its seconds over the other side's, and `read_ratio`.
    """
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    for name in loaders or CASES:
        environments.build(registry.get(name), lambda text, fraction: print(text, file=sys.stderr))
        model = ROOT / "models" / CASES[name]
        with tempfile.TemporaryDirectory() as data:
            _set_context(name, model, Path(data))
            flags = ("--model", model.name, "--loader", name)
            with running(*flags, models=model.parent, user_data=Path(data)) as server:
                every = _side(server, 1, _cut_at_every_turn(server))
                steps = _side(server, 2, lambda history: history)
        yield _figure(f"{name}, cut at every turn", every)
        ratios = {"read_ratio": sum(turn.read for turn in steps) / sum(turn.read for turn in every)}
        ratio = sum(turn.seconds for turn in steps) / sum(turn.seconds for turn in every)
        yield _figure(f"{name}, cut in steps", steps, ratio, ratios)


def _figure(
    case: str, turns: Sequence[Turn], ratio: float | None = None, ratios: dict[str, float] | None = None
) -> Figure:
    seconds = [turn.seconds for turn in turns]
    more = {
        "read": sum(turn.read for turn in turns) / len(turns),
        "prompt": sum(turn.prompt for turn in turns) / len(turns),
        "median": median(seconds),
        "slowest": max(seconds),
    }
    return Figure("long", case, sum(seconds) / len(seconds), "s", ratio, {**more, **(ratios or {})})


def _set_context(loader: str, model: Path, data: Path) -> None:
    """Let the loader's next load of the model have CONTEXT tokens."""
    app = App(Config(ROOT, user_data=data, models=model.parent))
    try:
        app.models.load(model.name, loader, {"context": CONTEXT})
    finally:
        app.close()


def _history(number: int, turns: int) -> list[Message]:
    """Return a chat of so many turns that begins with `number`."""
    found = []
    for turn in range(turns):
        found.append({"role": "user", "content": f"{number * _APART + turn}: {_QUESTION}"})
        found.append({"role": "assistant", "content": f"{turn}: The context holds the chat, the cache what was read."})
    return found


def _side(server: Running, number: int, cut: Cut) -> list[Turn]:
    """Run the turns of one side, after a history that fills the context."""
    history = _history(number, CONTEXT // 40)
    turns = []
    for turn in range(TURNS + 1):
        history.append({"role": "user", "content": f"{number * _APART - turn}: {_QUESTION}"})
        begin = time.perf_counter()
        first, reply = 0.0, ""
        usage: dict[str, Any] = {}
        for part in server.stream("/v1/chat/completions", _body([_SYSTEM, *cut(history)], REPLY)):
            content = part["choices"][0]["delta"].get("content") if part["choices"] else None
            if content:
                first = first or time.perf_counter() - begin
                reply += content
            usage = part.get("usage") or usage
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        turns.append(Turn(first, usage["prompt_tokens"], usage["prompt_tokens"] - cached))
        history.append({"role": "assistant", "content": reply})
    # The first turn reads the history on both sides.
    return turns[1:]


def _body(messages: list[Message], tokens: int) -> dict[str, object]:
    return {
        "messages": messages,
        "max_tokens": tokens,
        "temperature": 0,
        "ban_eos_token": True,
        "stream_options": {"include_usage": True},
    }


def _cut_at_every_turn(server: Running) -> Cut:
    """Return a cut that leaves out the fewest oldest turns."""
    counted: dict[str, int] = {}

    def tokens(messages: list[Message]) -> int:
        prompt = json.load(server.post("/v1/internal/chat-prompt", {"messages": messages}))["prompt"]
        return int(json.load(server.post("/v1/internal/token-count", {"text": prompt}))["length"])

    alone = _history(0, 1)[:1]
    counted["around"] = tokens([_SYSTEM, *alone])

    def turn_tokens(turn: list[Message]) -> int:
        key = turn[0]["content"] + turn[1]["content"]
        if key not in counted:
            counted[key] = tokens([_SYSTEM, *turn, *alone]) - counted["around"]
        return counted[key]

    def cut(history: list[Message]) -> list[Message]:
        room = CONTEXT - reply_room(REPLY, CONTEXT) - counted["around"] - 8
        start = len(history) - 1
        while start >= 2 and (size := turn_tokens(history[start - 2 : start])) <= room:
            start, room = start - 2, room - size
        return history[start:]

    return cut
