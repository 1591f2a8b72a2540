"""An engine that does not stop a reply is ended and its model loaded again, with the reason in the state."""

from __future__ import annotations

import queue
import threading

import pytest

from modules.app import App
from modules.generation.generation import Generation
from modules.protocol.errors import PromptError
from modules.protocol.sampling import SamplingParams
from modules.runtime import stall_watch as stalled
from modules.runtime.model_state import ModelState
from tests.runtime.test_faults import PATIENCE

HANG = "one two three four five !hang"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return timeouts that are short enough for a test."""
    monkeypatch.setattr(stalled, "CANCEL_SECONDS", 0.5)
    monkeypatch.setattr(stalled, "GRAMMAR_SECONDS", 0.5)
    monkeypatch.setattr(stalled, "_PREFILL_SPEED", 1e6)


def _until_ready_again(app: App, states: queue.Queue[ModelState]) -> list[ModelState]:
    """The states from the worker's end until its model answers again."""
    seen: list[ModelState] = []
    while not seen or seen[-1].phase != "ready":
        seen.append(states.get(timeout=PATIENCE))
    return seen


def _hanging(app: App, **params: object) -> tuple[Generation, queue.Queue[ModelState]]:
    """A reply that the engine hangs in after four words, and the states that follow."""
    app.models.load("tiny", "echo", {"slots": 2, "delay": 0.1})
    generation = app.supervisor.generate(HANG, SamplingParams(**params))  # type: ignore[arg-type]
    arrived = threading.Event()
    generation.on_change(lambda: arrived.set() if generation.tokens == 4 else None)
    assert arrived.wait(PATIENCE)
    states: queue.Queue[ModelState] = queue.Queue()
    app.supervisor.state_store.subscribe(states.put)
    return generation, states


@pytest.mark.usefixtures("impatient")
def test_an_engine_that_does_not_stop_is_ended_and_its_model_answers_again(app: App) -> None:
    generation, states = _hanging(app)
    other = app.supervisor.generate("go !long", SamplingParams(max_new_tokens=1_000_000))
    next(other.follow())
    pid = app.supervisor.worker_pid()
    generation.cancel()
    assert generation.wait(PATIENCE)
    assert generation.finished is not None and generation.finished.reason == "cancelled"
    assert generation.text == "one two three four"
    assert other.wait(PATIENCE)
    assert other.error is not None and "did not stop a reply" in other.error.message
    seen = _until_ready_again(app, states)
    assert any("did not stop a reply" in state.text for state in seen if state.busy)
    assert seen[-1].info is not None
    assert [note for note in seen[-1].info.notes if "did not stop a reply" in note]
    assert getattr(seen[-1].settings, "slots", 0) == 2
    assert app.supervisor.worker_pid() != pid
    again = app.supervisor.generate("still here", SamplingParams())
    assert again.wait(PATIENCE)
    assert again.text == "still here"


@pytest.mark.usefixtures("impatient")
def test_a_grammar_that_takes_too_long_is_named_and_the_model_is_loaded_again(app: App) -> None:
    generation, states = _hanging(app, grammar_string='root ::= "a"')
    assert generation.wait(PATIENCE)
    assert isinstance(generation.error, PromptError)
    assert "grammar takes too long" in generation.error.message
    assert _until_ready_again(app, states)[-1].error is None


@pytest.mark.usefixtures("impatient")
def test_a_model_requested_during_the_restart_is_loaded_instead(app: App) -> None:
    generation, states = _hanging(app)
    app.supervisor.state_store.subscribe(
        lambda state: app.supervisor.cancel_load() if state.phase == "failed" else None
    )
    generation.cancel()
    assert generation.wait(PATIENCE)
    assert states.get(timeout=PATIENCE).phase == "failed"
    app.models.load("tiny", "echo", {"slots": 1})
    assert getattr(app.supervisor.state.settings, "slots", 0) == 1
    assert app.supervisor.loaded().notes == []


def test_a_prompt_that_is_being_read_is_given_more_time() -> None:
    generation = Generation("1", "x" * 2000, SamplingParams(), lambda id: None)
    assert stalled.cancel_seconds(generation) == stalled.CANCEL_SECONDS + 20
    generation.feed("a", 1)
    assert stalled.cancel_seconds(generation) == stalled.CANCEL_SECONDS
