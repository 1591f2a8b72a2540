"""LoRA adapters as page and command line use them, with the echo engine, whose replies begin with their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from modules.app import App
from modules.loading.applied_adapters import parse_adapters
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import changed_values
from modules.settings.config import Config
from tests.support.adapters import write_gguf_adapter, write_peft_adapter
from tests.support.commands import run_command


@pytest.fixture
def models(config: Config) -> Path:
    """The models folder, with adapters in it."""
    assert config.models is not None
    for name in ("style", "facts", "refused"):
        write_peft_adapter(config.models / name, layers=1)
    write_peft_adapter(config.models / "wide", hidden=64)
    write_gguf_adapter(config.models / "style.gguf", layers=1)
    return config.models


@pytest.fixture
def loaded(models: Path, app: App) -> App:
    """The echo engine with the model `tiny`."""
    app.models.load("tiny", "echo", {})
    return app


def _reply(app: App) -> str:
    generation = app.supervisor.generate("hello", SamplingParams())
    assert generation.wait(30)
    return generation.text


def test_adapters_are_applied_combined_and_removed_without_a_load(loaded: App) -> None:
    pid = loaded.supervisor.worker_pid()
    loaded.adapters.apply({"style": 1.0})
    assert _reply(loaded) == "[style 1] hello"
    loaded.adapters.apply({"facts": 0.5, "style": -1.0})
    assert _reply(loaded) == "[facts 0.5] [style -1] hello"
    assert loaded.supervisor.state.adapters == {"facts": 0.5, "style": -1.0}
    loaded.adapters.apply({})
    assert _reply(loaded) == "hello"
    assert loaded.supervisor.worker_pid() == pid


def test_they_are_kept_for_the_model_and_applied_at_its_next_load(loaded: App, config: Config) -> None:
    loaded.adapters.apply({"style": 0.7})
    loaded.models.load("tiny", "echo", {"context": 128})
    assert _reply(loaded) == "[style 0.7] hello"
    loaded.close()
    again = App(config)
    try:
        again.models.load("tiny")
        assert _reply(again) == "[style 0.7] hello"
        assert changed_values(again.supervisor.state.settings) == {"context": 128}
        again.adapters.apply({})
        again.models.load("tiny")
        assert _reply(again) == "hello"
    finally:
        again.close()


def test_each_is_offered_with_the_reason_why_it_cannot_be_applied(loaded: App) -> None:
    why = {offer.adapter.name: offer.why_not for offer in loaded.adapters.offers()}
    assert why.keys() == {"style", "facts", "refused", "wide", "style.gguf"}
    assert (why["style"], why["facts"]) == ("", "")
    assert "hidden size of 64" in why["wide"]
    assert "is a GGUF file, but Echo applies a PEFT folder" in why["style.gguf"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"wide": 1.0}, "was trained on another model"),
        ({"facts": 1.0, "nope": 1.0}, "no LoRA adapter named 'nope'"),
        ({"style.gguf": 1.0}, "is a GGUF file"),
        ({"facts": 11.0}, "The weight of facts cannot be 11"),
        ({"facts": float("nan")}, "The weight of facts cannot be nan"),
        ({"facts": 1.0, "refused": 1.0}, "The echo loader refuses refused"),
    ],
)
def test_what_cannot_be_applied_is_refused_and_nothing_is_lost(
    loaded: App, wanted: dict[str, float], words: str
) -> None:
    loaded.adapters.apply({"style": 1.0})
    with pytest.raises(PaddockError, match=words):
        loaded.adapters.apply(wanted)
    assert _reply(loaded) == "[style 1] hello"
    assert loaded.supervisor.state.adapters == {"style": 1.0}
    loaded.models.load("tiny", "echo", {})
    assert _reply(loaded) == "[style 1] hello"


def test_a_kept_adapter_that_is_gone_or_unfit_is_a_note_and_no_failed_load(loaded: App, models: Path) -> None:
    loaded.adapters.apply({"facts": 1.0, "style": 1.0})
    shutil.rmtree(models / "style")
    info = loaded.models.load("tiny", "echo", {})
    assert "The LoRA adapter style, saved for this model, is not applied." in info.notes[0]
    assert loaded.supervisor.state.adapters == {"facts": 1.0}
    write_peft_adapter(models / "style", hidden=64)
    assert "trained on another model" in loaded.models.load("tiny", "echo", {}).notes[0]
    shutil.rmtree(models / "style")
    write_peft_adapter(models / "style", layers=1)
    assert loaded.models.load("tiny", "echo", {}).notes == []
    assert _reply(loaded) == "[facts 1] [style 1] hello"


def test_what_the_engine_refuses_at_a_load_is_a_note(app: App, models: Path, config: Config) -> None:
    path = config.paths.model_settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"tiny": {"loader": "echo", "adapters": {"refused": 1.0}}}))
    again = App(config)
    try:
        info = again.models.load("tiny")
        assert "No LoRA adapter is applied. The echo loader refuses refused" in info.notes[0]
        assert _reply(again) == "hello"
    finally:
        again.close()


def test_without_a_model_there_is_nothing_to_apply_to(app: App, models: Path) -> None:
    with pytest.raises(PaddockError, match="No model is loaded"):
        app.adapters.offers()
    with pytest.raises(PaddockError, match="No model is loaded"):
        app.adapters.apply({"style": 1.0})


@pytest.mark.parametrize(
    ("pairs", "found"),
    [(["a"], {"a": 1.0}), (["a=0.5", "b"], {"a": 0.5, "b": 1.0}), (["a=b=-2"], {"a=b": -2.0})],
)
def test_names_and_weights_are_read(pairs: list[str], found: dict[str, float]) -> None:
    assert parse_adapters(pairs) == found


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(SettingError, match="NAME=WEIGHT"):
        parse_adapters(["a=much"])


@pytest.mark.parametrize(
    ("adapters", "code", "out", "err"),
    [
        (["style=0.5", "facts"], 0, "[style 0.5] [facts 1] good morning\n", ""),
        (["wide"], 1, "", "was trained on another model"),
        (["refused"], 1, "", "The echo loader refuses refused"),
    ],
)
def test_generate_takes_adapters(
    root: Path, config: Config, models: Path, adapters: list[str], code: int, out: str, err: str
) -> None:
    where = ["--no-venv", "--show-echo", "--models", str(models), "--user-data", str(config.user_data)]
    given = [part for name in adapters for part in ("--adapter", name)]
    command = ["generate", *where, "--model", "tiny", "--loader", "echo"]
    answer = run_command(root, *command, *given, "--prompt", "good morning")
    assert (answer.returncode, answer.stdout) == (code, out)
    assert err in answer.stderr
