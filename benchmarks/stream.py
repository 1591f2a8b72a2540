"""The cost of a streamed token (host CPU and bytes) while a page follows a chat of 0, 100 or 400 messages."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.app import App
from modules.settings.config import Config

LENGTHS = (0, 100, 400)
TOKENS = 1000
ROUNDS = 3
# 250 words per second, like a fast small model on a good machine.
DELAY = 0.004
_ANSWER = "It depends on the **quantization**: see `n_ctx`.\n\n```python\nprint('context')\n```\n\n- one\n- two\n"


def run() -> Iterator[Figure]:
    """Measure CPU µs and bytes per token for each length. The last of each has the ratio to an empty chat."""
    with tempfile.TemporaryDirectory() as name:
        chats = _prepare(Path(name))
        found: dict[int, list[tuple[float, float]]] = {length: [] for length in LENGTHS}
        with running("--show-echo", "--model", "demo", "--loader", "echo", user_data=Path(name)) as server:
            for length, chat in chats:
                found[length].append(_measure(server, chat))
    for place, unit, case in ((0, "us/token", "CPU"), (1, "bytes/token", "sent")):
        values = {length: median([pair[place] for pair in found[length]]) for length in LENGTHS}
        for length, value in values.items():
            ratio = value / values[0] if length == LENGTHS[-1] else None
            yield Figure("stream", f"{case}, {length} messages", value, unit, ratio)


def _prepare(data: Path) -> list[tuple[int, str]]:
    """Load echo. Return (length, id) of chats in the order of measuring, one of each length per round."""
    app = App(Config(ROOT, user_data=data, show_echo=True))
    try:
        app.models.load("demo", "echo", {"delay": DELAY, "context": 1_000_000})
        app.settings.set("sampling", {"max_new_tokens": TOKENS})
        return [(length, _chat(app, length)) for _ in range(ROUNDS) for length in LENGTHS]
    finally:
        app.close()


def _chat(app: App, length: int) -> str:
    if not length:
        return app.chats.create().id
    return app.chats.import_chat({"internal": [[f"{n}?", f"{n}: {_ANSWER}"] for n in range(length // 2)]}).id


def _measure(server: Running, chat: str) -> tuple[float, float]:
    """Return (CPU µs, bytes) per token of one long reply, from its first words to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("GET", f"/paddock/chats/{chat}/events")
    feed = connection.getresponse()
    _until(feed, "messages")
    process = psutil.Process(server.pid)
    server.post(f"/paddock/chats/{chat}/send", {"text": "the quick brown fox jumps over the lazy dog !long"}).read()
    _until(feed, "living")
    before = process.cpu_times()
    sent = _until(feed, "messages")
    after = process.cpu_times()
    connection.close()
    cpu = (after.user + after.system) - (before.user + before.system)
    return cpu * 1e6 / TOKENS, sent / TOKENS


def _until(feed: http.client.HTTPResponse, wanted: str) -> int:
    """Read events until the wanted one. Return the bytes read before it."""
    total = 0
    name = ""
    for line in feed:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
            if name == wanted:
                while line.strip():
                    line = feed.readline()
                return total
        total += len(line)
    raise RuntimeError("the feed ended")
