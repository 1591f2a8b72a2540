"""A grammar with 2**30 parses does not keep the model from answering the next request."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from modules.app import App
from modules.protocol.sampling import SamplingParams
from modules.runtime import stall_watch as stalled
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.support.environments import installed, not_here

PATIENCE = 120.0
MODELS = {"xllamacpp": "demo.Q8_0.gguf", "llamacpp": "demo.Q8_0.gguf", "transformers": "demo"}


def ambiguous(levels: int) -> str:
    """Return a grammar in which x0 is two x1 or nothing, and so on: one letter has 2**`levels` possible places."""
    rules = "".join(f"x{level} ::= (x{level + 1} x{level + 1})?\n" for level in range(levels))
    return f'root ::= x0\n{rules}x{levels} ::= "a"\n'


@pytest.mark.parametrize("loader", MODELS)
def test_the_model_answers_after_an_ambiguous_grammar(
    app: App, loader: str, environments: Environments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = Registry(ROOT / "loaders").get(loader)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    monkeypatch.setattr(stalled, "CANCEL_SECONDS", 2.0)
    source = ROOT / "models" / MODELS[loader]
    (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "models" / source.name)
    app.models.load(source.name, loader, {})
    stuck = app.supervisor.generate("What is GGUF?", SamplingParams(grammar_string=ambiguous(30), max_new_tokens=8))
    stuck.cancel()
    assert stuck.wait(PATIENCE)
    assert stuck.finished is not None and stuck.finished.reason == "cancelled"
    _wait_until_ready(app)
    other = app.supervisor.generate("What is GGUF?", SamplingParams(do_sample=False, max_new_tokens=8))
    assert other.wait(PATIENCE)
    assert other.error is None and other.text


def _wait_until_ready(app: App) -> None:
    ready = threading.Event()
    unsubscribe = app.supervisor.state_store.subscribe(lambda state: ready.set() if state.phase == "ready" else None)
    try:
        if app.supervisor.state.phase != "ready":
            assert ready.wait(PATIENCE)
    finally:
        unsubscribe()
