"""Generations above the engine's slots wait in order; each can be stopped alone; a chatty library breaks nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from modules.app import App
from modules.protocol.sampling import SamplingParams
from tests.conftest import ROOMY

PATIENCE = 90.0
LONG = SamplingParams(max_new_tokens=1_000_000)


def test_above_the_slots_they_wait_in_order(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    first = app.supervisor.generate("one !long", LONG)
    second = app.supervisor.generate("two !long", LONG)
    third = app.supervisor.generate("three", SamplingParams())
    next(first.follow())
    assert (second.tokens, third.tokens) == (0, 0)
    first.cancel()
    next(second.follow())
    assert third.tokens == 0
    second.cancel()
    assert third.wait(PATIENCE)
    assert third.text == "three"


def test_one_that_waits_can_be_stopped_before_it_began(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    first = app.supervisor.generate("one !long", LONG)
    second = app.supervisor.generate("two", SamplingParams())
    second.cancel()
    assert second.wait(PATIENCE)
    assert second.finished is not None
    assert second.finished.reason == "cancelled"
    assert not first.done
    first.cancel()
    assert first.wait(PATIENCE)


def test_stop_ends_only_this_reply(echo: App) -> None:
    first, second = echo.supervisor.generate("one !long", LONG), echo.supervisor.generate("two !long", LONG)
    next(first.follow())
    next(second.follow())
    first.cancel()
    assert first.wait(PATIENCE)
    assert not second.done
    arrived = second.tokens
    follower = second.follow(len(second.text))
    next(follower)
    assert second.tokens > arrived
    second.cancel()
    assert second.wait(PATIENCE)


def test_a_count_is_answered_while_an_answer_runs(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    running = app.supervisor.generate("one !long", LONG)
    next(running.follow())
    assert len(app.supervisor.tokenize("three little words")) == 3
    assert not running.done
    running.cancel()
    assert running.wait(PATIENCE)


def test_followers_see_the_same_text_whenever_they_join(echo: App) -> None:
    generation = echo.supervisor.generate("alpha beta gamma !long", SamplingParams(max_new_tokens=300))
    early = "".join(generation.follow(gather=0.01))
    late = "".join(generation.follow())
    middle = early[:100] + "".join(generation.follow(100))
    assert early == late == middle == generation.text
    assert generation.finished is not None
    assert generation.finished.generated_tokens == 300


def test_a_worker_can_be_driven_by_hand(root: Path) -> None:
    commands = [
        {"type": "Load", "id": "1", "path": "x", "settings": {}},
        "garbage",
        {"type": "Generate", "id": "2", "prompt": "by hand", "params": {"max_new_tokens": 5}},
        {"type": "Unload", "id": "3"},
    ]
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in commands)
    with subprocess.Popen(
        [sys.executable, "-m", "modules.worker", "echo"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        # The pipe stays open until the answer is there: its end means that the host died.
        worker.stdin.write(text)
        worker.stdin.flush()
        events = [json.loads(line) for line in worker.stdout]
    assert worker.returncode == 0
    kinds = [event["type"] for event in events if event["type"] not in ("Progress", "Chunk")]
    assert kinds[0] == "Ready"
    assert sorted(kinds) == ["Finished", "Loaded", "Log", "Ready", "Result"]
    assert "".join(event["text"] for event in events if event["type"] == "Chunk") == "by hand"


def test_what_a_library_prints_does_not_break_the_stream(tmp_path: Path, root: Path) -> None:
    code = (
        "import os; from modules.worker.__main__ import take_stdout; stream = take_stdout();"
        "print('from Python'); os.write(1, b'from C\\n'); os.system('echo from a child'); stream.write(b'{}\\n')"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout == "{}\n"
    assert all(line in answer.stderr for line in ("from Python", "from C", "from a child"))
