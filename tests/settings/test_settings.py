"""What the user set is kept whole, per model and by pattern, and never overwritten when it cannot be read."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.protocol.errors import PaddockError
from modules.protocol.schema import setting
from modules.settings.user_settings import ModelSettings, YamlStore


def test_what_is_set_is_there_after_a_restart(tmp_path: Path) -> None:
    YamlStore(tmp_path / "s.yaml").update({"theme": "dark", "stops": ["ü\n"], "gone": 1})
    YamlStore(tmp_path / "s.yaml").set("gone", None)
    assert YamlStore(tmp_path / "s.yaml").items() == {"theme": "dark", "stops": ["ü\n"]}


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    store = YamlStore(tmp_path / "s.yaml")
    threads = [threading.Thread(target=store.set, args=(f"key{n}", n)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(YamlStore(tmp_path / "s.yaml").items()) == 20


@pytest.mark.parametrize("text", ["- a list\n", "{broken", "\x00\x01"])
def test_a_file_that_cannot_be_read_is_named_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(PaddockError, match="settings.yaml in the user data folder"):
        YamlStore(path)
    assert path.read_text() == text


@dataclass(frozen=True)
class Loader:
    """The settings of a loader."""

    context: int = setting(512, label="Context length")


@pytest.fixture
def kept(tmp_path: Path) -> ModelSettings:
    """A file as a person writes it."""
    text = (
        "'*-GPTQ': {loader: a, settings: {context: 1}}\n"
        "big-GPTQ: {loader: b, settings: {context: 2}}\n"
        "'*Q4_K_M*': {context: 8192}\n"
        "'*.gguf': {loader: c}\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    return ModelSettings(tmp_path / "m.yaml")


def test_exact_names_win_over_patterns(kept: ModelSettings) -> None:
    assert (kept.loader("big-GPTQ"), kept.settings("big-GPTQ", "b")) == ("b", {"context": 2})
    assert (kept.loader("small-GPTQ"), kept.settings("small-GPTQ", "a")) == ("a", {"context": 1})
    assert (kept.loader("other"), kept.settings("other", "a")) == ("", {})


def test_settings_belong_to_a_loader_and_a_pattern_without_one_applies_to_all(kept: ModelSettings) -> None:
    assert kept.settings("small-GPTQ", "other") == {}
    assert kept.loader("x.Q4_K_M.gguf") == "c"
    for loader in ("c", "other"):
        assert kept.settings("x.Q4_K_M.gguf", loader) == {"context": 8192}


def test_settings_of_a_pattern_are_not_copied_to_the_model(kept: ModelSettings, tmp_path: Path) -> None:
    name, path = "x.Q4_K_M.gguf", tmp_path / "m.yaml"
    kept.set(name, "d", Loader(context=8192))
    assert kept.loader(name) == "d"
    path.write_text(path.read_text().replace("8192", "4096"))
    assert ModelSettings(path).settings(name, "d") == {"context": 4096}
    kept.set(name, "d", Loader())  # the defaults, against the pattern
    assert ModelSettings(path).settings(name, "d") == {}


@pytest.mark.parametrize("entry", ["5", "[a]", "{loader: a, settings: 5}", "{loader: a, context: 5}"])
def test_an_entry_that_makes_no_sense_is_named(tmp_path: Path, entry: str) -> None:
    (tmp_path / "m.yaml").write_text(f"'*-GPTQ': {entry}\n")
    with pytest.raises(PaddockError, match=r"The entry '\*-GPTQ' in m.yaml .* Write it as"):
        ModelSettings(tmp_path / "m.yaml").settings("x-GPTQ", "a")


def test_adapters_are_kept_beside_the_settings_and_survive_them(kept: ModelSettings) -> None:
    kept.set_adapters("big-GPTQ", {"style": 0.5})
    kept.set("big-GPTQ", "b", Loader(context=3))
    assert (kept.adapters("big-GPTQ"), kept.settings("big-GPTQ", "b")) == ({"style": 0.5}, {"context": 3})
    kept.set_adapters("big-GPTQ", {})
    assert (kept.adapters("big-GPTQ"), kept.settings("big-GPTQ", "b")) == ({}, {"context": 3})


def test_adapters_of_a_model_leave_what_a_pattern_says_to_the_pattern(kept: ModelSettings) -> None:
    kept.set_adapters("x.Q4_K_M.gguf", {"style": 1.0})
    assert kept.loader("x.Q4_K_M.gguf") == "c"
    assert kept.settings("x.Q4_K_M.gguf", "c") == {"context": 8192}
    kept.set_adapters("x.Q4_K_M.gguf", {})
    assert kept.adapters("x.Q4_K_M.gguf") == {}


def test_adapters_join_an_entry_of_settings_alone(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("mine: {context: 5}\n")
    ModelSettings(tmp_path / "m.yaml").set_adapters("mine", {"style": 1.0})
    again = ModelSettings(tmp_path / "m.yaml")
    assert (again.settings("mine", "a"), again.adapters("mine")) == ({"context": 5}, {"style": 1.0})


@pytest.mark.parametrize("adapters", ["[style]", "{style: much}", "{style: true}"])
def test_adapters_that_make_no_sense_are_named(tmp_path: Path, adapters: str) -> None:
    (tmp_path / "m.yaml").write_text(f"mine: {{loader: a, adapters: {adapters}}}\n")
    with pytest.raises(PaddockError, match="The entry 'mine' in m.yaml"):
        ModelSettings(tmp_path / "m.yaml").adapters("mine")
