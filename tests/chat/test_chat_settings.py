"""Settings of single chats."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.store import ChatStore


def test_settings_are_merged_and_none_removes_one(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite3")
    first, second = store.create_chat(), store.create_chat()
    settings = ChatSettings(store.database)
    assert settings.get(first.id) == {}
    settings.change(first.id, {"system": "Be \ud800 short.", "tools": ["calculate"]})
    assert settings.change(first.id, {"system": None, "preset": "Precise"}) == {
        "tools": ["calculate"],
        "preset": "Precise",
    }
    assert settings.get(first.id) == {"tools": ["calculate"], "preset": "Precise"}
    assert settings.get(second.id) == {}
    store.close()


def test_a_chat_that_does_not_exist_is_named(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite3")
    settings = ChatSettings(store.database)
    with pytest.raises(StorageError, match="does not exist any more"):
        settings.get("missing")
    with pytest.raises(StorageError, match="does not exist any more"):
        settings.change("missing", {"system": "x"})
    store.close()
