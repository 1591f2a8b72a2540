"""Files that could run code are named and refused without consent, which applies only to exactly these files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.library.detect import detect
from modules.library.trust import fingerprint, missing_consent, scan_trust
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config


@pytest.fixture
def tiny(config: Config) -> Path:
    """Return the folder of the small model."""
    assert config.models is not None
    return config.models / "tiny"


def _ask_for_code(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["model_type"] = "tiny"
    values["auto_map"] = {"AutoModelForCausalLM": "modeling_tiny.Tiny"}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "modeling_tiny.py").write_text("print('hello')\n")


def test_a_plain_model_needs_no_consent(tiny: Path) -> None:
    facts = detect(tiny, "tiny")
    assert scan_trust(facts) == []
    assert missing_consent(facts, allow_pickle=False, allow_code=False) == ""


def test_pickled_weights_are_refused_with_the_flag_that_consents(tiny: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    facts = detect(tiny, "tiny")
    assert any("pytorch_model.bin" in sentence for sentence in scan_trust(facts))
    assert "--trust-pickle tiny" in missing_consent(facts, allow_pickle=False, allow_code=True)
    assert missing_consent(facts, allow_pickle=True, allow_code=False) == ""


def test_pickles_beside_safetensors_are_named_and_not_loaded(tiny: Path) -> None:
    (tiny / "optimizer.pt").write_bytes(b"x")
    facts = detect(tiny, "tiny")
    assert any("They are not loaded." in sentence for sentence in scan_trust(facts))
    assert missing_consent(facts, allow_pickle=False, allow_code=False) == ""


def test_a_models_own_code_is_refused_with_the_flag_that_consents(tiny: Path) -> None:
    _ask_for_code(tiny)
    reason = missing_consent(detect(tiny, "tiny"), allow_pickle=True, allow_code=False)
    assert "modeling_tiny" in reason
    assert "--trust-remote-code tiny" in reason


def test_the_fingerprint_changes_with_files_that_could_run(tiny: Path) -> None:
    _ask_for_code(tiny)
    before = fingerprint(tiny)
    (tiny / "notes.txt").write_text("harmless")
    assert fingerprint(tiny) == before
    (tiny / "modeling_tiny.py").write_text("print('changed')\n")
    assert fingerprint(tiny) != before


def test_a_load_needs_consent_which_covers_only_the_files_of_that_time(config: Config, tiny: Path) -> None:
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


def test_a_refused_load_keeps_the_loaded_model(config: Config, tiny: Path) -> None:
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


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def _refusal(folder: Path) -> str:
    return missing_consent(detect(folder, folder.name), allow_pickle=False, allow_code=False)


def test_the_code_that_comes_with_a_known_architecture_is_named_and_needs_no_consent(tiny: Path) -> None:
    _change(tiny / "config.json", _name_or_path="/somewhere/else", auto_map={"AutoModel": "modeling_llama.Llama"})
    (tiny / "modeling_llama.py").write_text("raise SystemExit\n")
    assert _refusal(tiny) == ""
    (sentence,) = scan_trust(detect(tiny, "tiny"))
    assert sentence.startswith("The model contains code that is not needed (modeling_llama.py)")


@pytest.mark.parametrize("file", ["tokenizer_config.json", "processor_config.json", "preprocessor_config.json"])
def test_code_of_tokenizers_and_processors_is_refused_where_the_architecture_is_unknown(tiny: Path, file: str) -> None:
    _change(tiny / "config.json", model_type="tiny")
    _change(tiny / file, auto_map={"AutoTokenizer": ["tok.Slow", None]})
    assert "tok.py" in _refusal(tiny)


@pytest.mark.parametrize("place", ["absolute", "relative", "file"])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_nested_reference_to_code_is_refused(tiny: Path, file: str, deep: bool, place: str) -> None:
    inner = tiny / "parts" / "one"
    inner.mkdir(parents=True)
    (inner / "config.json").write_text('{"auto_map": {"AutoConfig": "evil.Evil"}}')
    value = {"absolute": str(inner), "relative": "parts/one", "file": str(inner / "config.json")}[place]
    part: Any = {"model_type": "superpoint", "_name_or_path": value}
    _change(tiny / file, keypoint_detector_config=[{"more": part}] if deep else part)
    assert _refusal(tiny) == ""  # This folder has no code.
    (inner / "evil.py").write_text("")
    reason = _refusal(tiny)
    assert f"{file}: _name_or_path names {value}, which holds code (evil.py)" in reason
    assert "--trust-remote-code tiny" in reason
    assert any(value in sentence for sentence in scan_trust(detect(tiny, "tiny")))


def test_code_in_a_part_of_an_unknown_architecture_is_refused(tiny: Path) -> None:
    _change(tiny / "config.json", text_config={"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}})
    assert "evil.py" in _refusal(tiny)


@pytest.mark.parametrize("word", ["trust_remote_code", "\\u0074rust_remote_cod\\u0065"])
def test_a_configuration_that_trusts_code_is_named_at_any_depth(tiny: Path, word: str) -> None:
    folder = tiny / "a" / ".b"
    folder.mkdir(parents=True)
    (folder / "any.JSON").write_text('[{"x": {"' + word + '": true}}]')
    assert _refusal(tiny) == ""
    assert any("a/.b/any.JSON sets trust_remote_code" in sentence for sentence in scan_trust(detect(tiny, "tiny")))


def test_a_file_that_mentions_code_and_cannot_be_read_is_refused(tiny: Path) -> None:
    (tiny / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": "a.A"}, ')
    assert "tokenizer_config.json of tiny may ask for code" in _refusal(tiny)


def test_pickles_and_code_in_inner_folders_are_named(tiny: Path) -> None:
    (tiny / "deep" / "er").mkdir(parents=True)
    (tiny / "deep" / "er" / "x.pkl").write_bytes(b"x")
    (tiny / "deep" / "er" / "x.so").write_bytes(b"x")
    sentences = scan_trust(detect(tiny, "tiny"))
    assert any("deep/er/x.pkl. They are not loaded." in sentence for sentence in sentences)
    assert any("deep/er/x.so" in sentence for sentence in sentences)


def test_the_fingerprint_covers_code_at_any_depth(tiny: Path) -> None:
    (tiny / "deep").mkdir()
    before = fingerprint(tiny)
    (tiny / "deep" / "x.py").write_text("1")
    assert fingerprint(tiny) != before


@pytest.mark.parametrize("native", [False, True])
def test_code_in_another_repository_is_named_with_what_to_do(tiny: Path, native: bool) -> None:
    kind = "llama" if native else "tiny"
    _change(tiny / "config.json", model_type=kind, auto_map={"AutoModelForCausalLM": "maker/base--modeling_x.X"})
    facts = detect(tiny, "tiny")
    assert any("another repository, maker/base" in sentence for sentence in scan_trust(facts))
    reason = missing_consent(facts, allow_pickle=False, allow_code=False)
    assert reason == "" if native else "another repository, maker/base" in reason
    reason = missing_consent(facts, allow_pickle=False, allow_code=True)
    assert "Download modeling_x.py from maker/base" in reason
    assert 'delete "maker/base--"' in reason
    assert ("without this consent" in reason) == native
    (tiny / "modeling_x.py").write_text("")
    assert "modeling_x.py is already in the folder" in missing_consent(facts, allow_pickle=False, allow_code=True)
