"""Files that could run code are named, refused without consent, and consent is bound to the very files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from modules.app import App
from modules.config import Config
from modules.library.detect import detect
from modules.library.trust import fingerprint, refusal, scan_trust
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams


@pytest.fixture
def tiny(config: Config) -> Path:
    """The folder of the small model."""
    assert config.models is not None
    return config.models / "tiny"


def _ask_for_code(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["auto_map"] = {"AutoModelForCausalLM": "modeling_tiny.Tiny"}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "modeling_tiny.py").write_text("print('hello')\n")


def test_a_plain_model_needs_no_consent(tiny: Path) -> None:
    facts = detect(tiny, "tiny")
    assert scan_trust(facts) == []
    assert refusal(facts, allow_pickle=False, allow_code=False) == ""


def test_pickled_weights_are_refused_with_the_flag_that_consents(tiny: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    facts = detect(tiny, "tiny")
    assert any("pytorch_model.bin" in sentence for sentence in scan_trust(facts))
    assert "--trust-pickle tiny" in refusal(facts, allow_pickle=False, allow_code=True)
    assert refusal(facts, allow_pickle=True, allow_code=False) == ""


def test_pickles_beside_safetensors_are_named_but_not_loaded(tiny: Path) -> None:
    (tiny / "optimizer.pt").write_bytes(b"x")
    facts = detect(tiny, "tiny")
    assert any("They are not loaded." in sentence for sentence in scan_trust(facts))
    assert refusal(facts, allow_pickle=False, allow_code=False) == ""


def test_a_models_own_code_is_refused_with_the_flag_that_consents(tiny: Path) -> None:
    _ask_for_code(tiny)
    reason = refusal(detect(tiny, "tiny"), allow_pickle=True, allow_code=False)
    assert "modeling_tiny" in reason
    assert "--trust-remote-code tiny" in reason


def test_the_fingerprint_follows_what_could_run(tiny: Path) -> None:
    _ask_for_code(tiny)
    before = fingerprint(tiny)
    (tiny / "notes.txt").write_text("harmless")
    assert fingerprint(tiny) == before
    (tiny / "modeling_tiny.py").write_text("print('changed')\n")
    assert fingerprint(tiny) != before


def test_without_consent_no_load_and_consent_covers_the_files_of_the_start_alone(config: Config, tiny: Path) -> None:
    _ask_for_code(tiny)
    app = App(config)
    try:
        with pytest.raises(PaddockError, match="--trust-remote-code tiny"):
            app.models.load("tiny", "echo", {})
    finally:
        app.close()
    app = App(dataclasses.replace(config, trust_remote_code=("tiny",)))
    try:
        app.models.load("tiny", "echo", {})
        (tiny / "modeling_tiny.py").write_text("import os\n")
        with pytest.raises(PaddockError, match="have changed since Paddock started"):
            app.models.load("tiny", "echo", {})
    finally:
        app.close()


def test_a_load_that_is_refused_leaves_the_model_that_is_loaded(config: Config, tiny: Path) -> None:
    app = App(config)
    try:
        app.models.load("tiny", "echo", {})
        _ask_for_code(tiny)
        with pytest.raises(PaddockError, match="--trust-remote-code tiny"):
            app.models.load_in_background("tiny", "echo", {})
        with pytest.raises(PaddockError, match="no model named 'other'"):
            app.models.load_in_background("other")
        assert app.supervisor.state.phase == "ready"
        generation = app.supervisor.generate("still here", SamplingParams())
        assert generation.wait(90) and generation.text == "still here"
        app.supervisor.unload()
        with pytest.raises(PaddockError):
            app.models.load_in_background("other")
        assert app.supervisor.state.phase == "failed"
    finally:
        app.close()
