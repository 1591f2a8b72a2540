"""Clients that chat, cancel, stall, hang up, send rubbish and swap models; then memory, slots and chats are checked."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.report import Figure
from benchmarks.server import ROOT, Running, running
from benchmarks.soak_clients import CLIENTS, MODELS, Soak, ask, finish_chats, pin_page_model

_DEMO = ROOT / "models" / "demo.Q8_0.gguf"
# The part of the time before memory is measured first: caches fill, and Python's heap grows to its size.
_WARM_UP = 0.4
# What may be left of each client's requests at the end.
_QUIET_SECONDS = 60.0
# More growth than this is a leak, in the host and in the worker of the page's model.
MOST_GROWTH = 16 << 20


def run(minutes: float = 1.0) -> Iterator[Figure]:
    """Yield what the clients did and how much memory grew. Raise RuntimeError for a stuck slot, a lost chat or a
    leak."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        for name in MODELS:
            shutil.copy(_DEMO, models / name)
        flags = ["--model", MODELS[0], "--max-models", "2", "--keep-alive", "never"]
        with running(*flags, models=models, user_data=Path(folder) / "user_data") as server:
            pin_page_model(server)
            yield from _soak(server, minutes * 60)


def _soak(server: Running, seconds: float) -> Iterator[Figure]:
    soak = Soak(server)
    before = _phase(soak, seconds * _WARM_UP)
    after = _phase(soak, seconds * (1 - _WARM_UP))
    for name, count in sorted(soak.done.items()):
        yield Figure("soak", name, count, "times")
    if soak.faults:
        listed = "\n".join(dict.fromkeys(soak.faults))
        raise RuntimeError(f"{len(soak.faults)} requests got a wrong answer:\n{listed}")
    for name, grown in (("host", after[0] - before[0]), ("worker", after[1] - before[1])):
        yield Figure("soak", f"memory of the {name}, grown by", grown / 1e6, "MB")
        if grown > MOST_GROWTH:
            raise RuntimeError(f"The memory of the {name} grew by {grown / 1e6:.0f} MB.")
    yield Figure("soak", "chats, all complete", finish_chats(soak), "chats")


def _phase(soak: Soak, seconds: float) -> tuple[int, int]:
    """Let all clients run for so long. Return the resident bytes of the host and of the current model's worker once all
    have ended."""
    soak.over.clear()
    threads = [threading.Thread(target=_keep_going, args=(soak, client)) for client in CLIENTS]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    soak.over.set()
    for thread in threads:
        thread.join(_QUIET_SECONDS)
    if any(thread.is_alive() for thread in threads):
        raise RuntimeError("A client still waits for its answer: a slot is stuck.")
    for model in MODELS:
        # Answers only if a slot is free.
        ask(soak.server, model, "Are you still there?")
    return _memory(soak.server)


def _keep_going(soak: Soak, client: Callable[[Soak], None]) -> None:
    name = client.__name__.replace("_", " ")
    while not soak.over.is_set():
        try:
            client(soak)
        except Exception as error:
            soak.faults.append(f"{name}: {type(error).__name__}: {error}")
        soak.done[name] += 1


def _memory(server: Running) -> tuple[int, int]:
    """Return the resident bytes of the host and of its oldest worker, which is that of the page's model."""
    host = psutil.Process(server.pid)
    workers = []
    for process in host.children():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[1:3] == ["-m", "modules.worker"]:
                workers.append(process)
    oldest = min(workers, key=lambda process: process.create_time())
    return int(host.memory_info().rss), int(oldest.memory_info().rss)
