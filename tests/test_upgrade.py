"""The complete user_data of an earlier version opens, and nothing in it is lost.

`tests/data/user_data_0.1.0` was written by Paddock 0.1.0: chats with versions, branches, a character and a deleted one,
settings, a preset, a notebook and an extension that is on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.plugins.extension_overview import extension_statuses
from modules.settings.config import Config
from modules.ui.notebook import Notebook
from tests.support.models import write_model_folder

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).parent / "data"


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[App]:
    """This version's App over a copy of that data."""
    shutil.copytree(DATA / "user_data_0.1.0", tmp_path / "user_data")
    write_model_folder(tmp_path / "models" / "tiny")
    config = Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user_data", show_echo=True)
    app = build_app(config)
    yield app
    app.close()


def test_every_chat_message_and_version_is_there(upgraded: App) -> None:
    expected = json.loads((DATA / "expected_chats_0.1.0.json").read_text(encoding="utf-8"))
    chats = upgraded.chats
    assert [head.title for head in chats.chats()] == expected["titles"]
    assert [head.title for head in chats.trash()] == expected["trash"]
    found = {
        head.id: [[one.role, one.text, one.version, one.versions] for one in chats.messages(head.id)]
        for head in chats.chats()
    }
    assert found == expected["chats"]


def test_a_chat_continues_and_a_deleted_one_is_restored(upgraded: App) -> None:
    (deleted,) = upgraded.chats.trash()
    upgraded.chats.restore_chat(deleted.id)
    assert "To be deleted" in [head.title for head in upgraded.chats.chats()]
    (versions,) = [head for head in upgraded.chats.chats() if head.title == "A chat with versions"]
    *_, edited, _, _ = upgraded.chats.messages(versions.id)
    upgraded.chats.switch(versions.id, edited.id, 1)
    assert "Second question" in [message.text for message in upgraded.chats.messages(versions.id)]


def test_settings_presets_characters_and_the_notebook_are_as_they_were(upgraded: App) -> None:
    assert upgraded.settings.get("system_prompt") == "Answer in one sentence."
    assert upgraded.settings.get("character") == "Ada"
    assert upgraded.settings.get("aim") == "speed"
    assert upgraded.startup_model() == "tiny"
    assert upgraded.loaders.choose("tiny")[0].name == "echo"
    assert upgraded.loaders.choose("tiny")[1] == {"context": 1000, "delay": 0.0}
    mine = upgraded.presets.load("Mine")
    assert (mine.temperature, mine.top_k, mine.dry_multiplier) == (0.35, 17, 0.8)
    assert mine.stop == ["\n\n", "END"]
    ada = upgraded.characters.load("Ada")
    assert ada.greeting == "Hello, {{user}}. 🐎"
    assert ada.context == "Ada is a mathematician.\nShe answers: yes."
    assert Notebook(upgraded).text() == "A notebook text,\nof two lines."


def test_an_extension_that_was_on_is_on_with_its_settings(upgraded: App) -> None:
    upgraded.extensions.start()
    states = {status.name: status.state for status in extension_statuses(upgraded.extensions)}
    assert [name for name, state in states.items() if state != "off"] == ["character_bias"]
    assert states["character_bias"] == "on"
    assert upgraded.extensions.saved.settings("character_bias") == {"text": "*smiles*"}
