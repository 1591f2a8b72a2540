"""Three Paddocks serve one model to a fourth one. One of them is killed under load."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import httpx
import pytest

from modules.app import App
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.browser.conftest import Served, prepare

pytestmark = pytest.mark.slow

FILE = "far.remote.yaml"
PATIENCE = 120
# Longer than the test, if nothing stops it: a word every 20 ms.
ENDLESS = "never ends !long"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    """Run three Paddocks, each with the echo loader, which takes two requests at once."""
    with contextlib.ExitStack() as stack:
        found = []
        for name in ("a", "b", "c"):
            folder = prepare(tmp_path_factory.mktemp(name), delay=0.02, context=1_000_000)
            found.append(Served(folder, "--model", "small"))
            stack.callback(found[-1].close)
        for served in found:
            served.wait()
            while _loads(served):
                assert served.process.poll() is None, served.lines
        yield found


def _loads(served: Served) -> bool:
    body = {"prompt": "x", "max_tokens": 1}
    return httpx.post(f"{served.address}/v1/completions", json=body, timeout=PATIENCE).status_code != 200


def _waiting(served: Served) -> float:
    """Return how many requests wait for a slot at this server."""
    text = httpx.get(f"{served.address}/metrics", timeout=PATIENCE).text
    return sum(map(float, re.findall(r"^paddock_generations_waiting{.*} (\S+)$", text, re.MULTILINE)))


@pytest.fixture
def near(far: list[Served], config: Config, tmp_path: Path) -> Iterator[App]:
    """Return a Paddock that has loaded the model of the three."""
    (tmp_path / "near").mkdir()
    addresses = ", ".join(served.address for served in far)
    (tmp_path / "near" / FILE).write_text(f"address: [{addresses}]\nmodel: small\n")
    app = App(dataclasses.replace(config, models=tmp_path / "near", user_data=tmp_path / "near_data", show_echo=False))
    app.models.load(FILE)
    yield app
    app.close()


def _ask(app: App, text: str, length: int = 200_000) -> Generation:
    messages = [{"role": "user", "content": text}]
    return app.supervisor.generate_chat(Generate("", params=SamplingParams(max_new_tokens=length), messages=messages))


def test_a_killed_server_loses_no_request_that_had_not_begun_to_stream(near: App, far: list[Served]) -> None:
    assert not [note for note in near.supervisor.loaded().notes if "left out" in note]
    # Two replies stream at each server. The next six wait there, two at each, and stream nothing.
    streaming = [_ask(near, f"{number} {ENDLESS}") for number in range(6)]
    for generation in streaming:
        assert next(iter(generation.follow(gather=0)))
    waiting = [_ask(near, f"chat {number} waits for its turn") for number in range(6)]
    while min(map(_waiting, far)) < 2:
        assert not any(generation.done for generation in [*streaming, *waiting])
    far[1].kill()
    # Those that it streamed end, and say which server it was.
    with ThreadPoolExecutor(6) as threads:
        ends = {threads.submit(generation.wait, PATIENCE): generation for generation in streaming}
        ended = [ends[end] for end in islice(as_completed(ends), 2)]
        for generation in streaming:
            generation.cancel()
    for generation in ended:
        assert generation.error is not None and generation.text
        assert far[1].address in generation.error.message
        assert "Other servers with this model answer" in generation.error.message
    for number, generation in enumerate(waiting):
        assert generation.wait(PATIENCE)
        assert generation.error is None and generation.finished is not None
        assert generation.text == f"chat {number} waits for its turn"
        assert generation.finished.served_by in (far[0].address, far[2].address)
    later = [_ask(near, f"later {number}") for number in range(4)]
    for generation in later:
        assert generation.wait(PATIENCE) and generation.finished is not None
        assert generation.finished.served_by in (far[0].address, far[2].address)
