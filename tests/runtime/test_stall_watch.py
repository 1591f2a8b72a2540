"""An engine that does not stop a reply is ended and its model loaded again, with the reason in the state."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable

import pytest

from modules.app import App
from modules.generation.generation import Generation
from modules.protocol.errors import PromptError, SettingError
from modules.protocol.sampling import SamplingParams
from modules.runtime import stall_watch as stalled
from modules.runtime.load_request import LoadRequest
from modules.runtime.model_state import ModelState
from modules.runtime.node_spread import NodeSpread, Report
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


class _Machines(NodeSpread):
    """What a load over other machines gives its worker."""

    def __init__(self, count: int) -> None:
        self.settings = {"slots": count}
        self.variables = {"PADDOCK_TEST_MACHINES": str(count)}
        self.note = f"Over {count} machines."

    def prepare(self, report: Report, kill: Callable[[str], None]) -> None:
        pass

    def end(self) -> None:
        pass


@pytest.fixture
def machines(app: App, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of one number, that of the machines that loads use."""
    machines = [3]

    def choose(request: LoadRequest) -> LoadRequest:
        return dataclasses.replace(request, automatic={"slots": machines[0]})

    def spread(request: LoadRequest) -> NodeSpread | None:
        assert request.automatic == {"slots": machines[0]}
        assert "PADDOCK_TEST_MACHINES" not in request.variables
        return _Machines(machines[0]) if machines[0] > 1 else None

    monkeypatch.setattr(app.nodes, "choose", choose)
    monkeypatch.setattr(app.nodes, "spread", spread)
    return machines


@pytest.mark.usefixtures("impatient")
def test_the_machines_are_chosen_anew_where_some_have_left_since(app: App, machines: list[int]) -> None:
    generation, states = _hanging(app)
    assert app.supervisor.loaded().notes == ["Over 3 machines."]
    machines[0] = 1
    generation.cancel()
    assert "Over 3 machines." not in str(_until_ready_again(app, states)[-1].info)
    request = app.supervisor.request()
    assert request and request.automatic == {"slots": 1} and "PADDOCK_TEST_MACHINES" not in request.variables


@pytest.mark.usefixtures("impatient")
def test_a_load_that_the_machines_which_are_left_cannot_share_ends_in_a_sentence(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation, states = _hanging(app)

    def refuse(request: LoadRequest) -> LoadRequest:
        raise SettingError("The 8 heads cannot be divided over 3 machines. Remove a node.")

    monkeypatch.setattr(app.nodes, "choose", refuse)
    generation.cancel()
    error = None
    while not (error and "Remove a node" in error.message):
        state = states.get(timeout=PATIENCE)
        assert state.phase == "failed"
        error = state.error
    assert error.message.startswith("Echo did not stop a reply, so it was ended. The 8 heads")
    # A request of the API loads it again.
    assert app.reloader.worker_died


def test_a_prompt_that_is_being_read_is_given_more_time() -> None:
    generation = Generation("1", "x" * 2000, SamplingParams(), lambda id: None)
    assert stalled.cancel_seconds(generation) == stalled.CANCEL_SECONDS + 20
    generation.feed("a", 1)
    assert stalled.cancel_seconds(generation) == stalled.CANCEL_SECONDS
