"""Settings that are saved as they change, or held until the user says so."""

from __future__ import annotations

from pathlib import Path

from modules.settings.preferences import Preferences
from modules.settings.user_settings import YamlStore


def test_with_autosave_the_file_follows_each_change(tmp_path: Path) -> None:
    Preferences(YamlStore(tmp_path / "s.yaml")).set("theme", "dark")
    assert Preferences(YamlStore(tmp_path / "s.yaml")).get("theme") == "dark"


def test_without_autosave_changes_are_held_until_saved_or_discarded(tmp_path: Path) -> None:
    store = YamlStore(tmp_path / "s.yaml")
    preferences = Preferences(store)
    preferences.set("theme", "dark")
    preferences.set_autosave(False)
    preferences.set("theme", "light")
    assert preferences.get("theme") == "light" and store.get("theme") == "dark" and preferences.unsaved
    preferences.discard()
    assert preferences.get("theme") == "dark" and not preferences.unsaved
    preferences.set("theme", None)
    assert preferences.get("theme", "system") == "system"
    preferences.save()
    assert "theme" not in store.items() and not preferences.unsaved


def test_switching_autosave_on_saves_what_is_held(tmp_path: Path) -> None:
    preferences = Preferences(YamlStore(tmp_path / "s.yaml"))
    preferences.set_autosave(False)
    preferences.set("name1", "Ada")
    preferences.set_autosave(True)
    assert YamlStore(tmp_path / "s.yaml").get("name1") == "Ada"
