"""What the user set is kept whole, per model and by pattern, and never overwritten when it cannot be read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modules.protocol.errors import PaddockError
from modules.settings import ModelSettings, YamlStore


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


def test_exact_names_win_over_patterns(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("'*-GPTQ': {loader: a, settings: {context: 1}}\nbig-GPTQ: {loader: b, settings: {context: 2}}\n")
    settings = ModelSettings(path)
    assert settings.get("big-GPTQ") == ("b", {"context": 2})
    assert settings.get("small-GPTQ") == ("a", {"context": 1})
    assert settings.get("other") == ("", {})
