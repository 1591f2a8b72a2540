"""From opening the page in a browser until it can be used: seconds and requests, also against another checkout."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median
from benchmarks.server import ROOT, running
from tests.browser.conftest import FLAGS, executable

ROUNDS = 7
_STARTED = "body.started"
_OURS = "/paddock/static/"


@dataclass
class Side:
    """One checkout: its address, and what each round took. `loads` and `reloads` in seconds."""

    name: str
    address: str
    loads: list[float] = field(default_factory=list)
    reloads: list[float] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def own_files(self) -> int:
        """The number of requests for scripts, styles and other files of Paddock, without those of Gradio."""
        return sum(_OURS in address for address in self.requests)


def run(against: Path | None = None) -> Iterator[Figure]:
    """Measure the page without a model: first visit with an empty cache, then a reload.

    `against`: another checkout. Both are measured in turns, and the ratio is this one's to that one's.
    """
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        checkouts = [("page", ROOT), *([("other checkout", against)] if against else [])]
        sides = [
            Side(name, f"http://127.0.0.1:{stack.enter_context(running('--no-model', root=root)).port}/")
            for name, root in checkouts
        ]
        driver = stack.enter_context(sync_playwright())
        browser = driver.chromium.launch(executable_path=executable(), args=list(FLAGS))
        stack.callback(browser.close)
        # The first round warms up browser and servers, and is not counted.
        for number in range(ROUNDS + 1):
            for side in sides if number % 2 else reversed(sides):
                _visit(browser, side)
        for side in sides:
            del side.loads[0], side.reloads[0]
    mine, other = sides[0], sides[-1]
    for side in reversed(sides):
        compared = against is not None and side is mine
        loads = _ratio(mine.loads, other.loads) if compared else None
        reloads = _ratio(mine.reloads, other.reloads) if compared else None
        more = {"requests": len(side.requests), "of Paddock's files": side.own_files}
        yield Figure("page", f"{side.name}, first visit", median(side.loads), "s", loads, more)
        yield Figure("page", f"{side.name}, reload", median(side.reloads), "s", reloads)


def _ratio(mine: list[float], other: list[float]) -> float:
    """Return the median of the rounds' ratios: noise that lasts longer than a round changes both sides of it."""
    return median([one / two for one, two in zip(mine, other, strict=True)])


def _visit(browser: Any, side: Side) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        page = context.new_page()
        side.requests = []
        context.on("request", lambda request: side.requests.append(request.url))
        begin = time.perf_counter()
        page.goto(side.address)
        page.wait_for_selector(_STARTED)
        side.loads.append(time.perf_counter() - begin)
        page.wait_for_selector("#drawer .refresh-marker", state="attached")
        first = list(side.requests)
        begin = time.perf_counter()
        page.reload()
        page.wait_for_selector(_STARTED)
        side.reloads.append(time.perf_counter() - begin)
        side.requests = first
    finally:
        context.close()
