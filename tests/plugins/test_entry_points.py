"""Extensions in Python packages are found by entry point, and imported only after consent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modules.plugins.consent import ConsentNeeded
from modules.plugins.entry_points import installed_extensions
from modules.plugins.extension_overview import extension_statuses
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.manager import ExtensionManager
from modules.plugins.pipeline import Pipeline
from modules.settings.user_settings import YamlStore

CODE = "from . import words\ndef input_modifier(string):\n    return string + words.END\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on Python's path with the package pkd-dice, whose import fails."""
    site = tmp_path / "site"
    package = site / "pkd_dice"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "extension.py").write_text(CODE)
    (package / "words.py").write_text("END = ' rolled'")
    declare(site, "[paddock.extensions]\ndice = pkd_dice\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def declare(site: Path, entry_points: str) -> None:
    """Write the metadata of the package."""
    metadata = site / "pkd_dice-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Name: pkd-dice\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


def manager_of(tmp_path: Path) -> ExtensionManager:
    """Create a manager with the installed packages, as at a start."""
    saved = ExtensionSettings(YamlStore(tmp_path / "extensions.yaml"))
    folders = tmp_path / "packages", tmp_path / "data"
    return ExtensionManager([tmp_path / "extensions"], *folders, saved, None, installed=installed_extensions())


def test_an_extension_of_a_package_runs_after_consent_and_not_before(site: Path, tmp_path: Path) -> None:
    manager = manager_of(tmp_path)
    (status,) = extension_statuses(manager)
    assert (status.name, status.state, status.shipped) == ("dice", "consent", False)
    with pytest.raises(ConsentNeeded):
        manager.enable("dice")
    manager.enable("dice", manager.find("dice").sha256)
    assert Pipeline(manager).modify_message("a die", {}) == ("a die", "a die rolled")
    assert "pkd_dice" not in sys.modules
    manager.close()


def test_an_upgrade_of_the_package_needs_consent_again(site: Path, tmp_path: Path) -> None:
    manager = manager_of(tmp_path)
    manager.enable("dice", manager.find("dice").sha256)
    manager.close()
    (site / "pkd_dice" / "words.py").write_text("END = ' changed'")
    manager = manager_of(tmp_path)
    manager.start()
    (status,) = extension_statuses(manager)
    assert status.state == "consent" and not manager.running
    manager.close()


def test_a_package_without_an_extension_is_named_with_the_next_step(site: Path, tmp_path: Path) -> None:
    (site / "pkd_dice" / "extension.py").unlink()
    (status,) = extension_statuses(manager_of(tmp_path))
    assert status.state == "blocked" and "Reinstall the package" in status.message


@pytest.mark.parametrize("line", ["../dice = pkd_dice", "dice = no_such_package", "dice = pkd_dice.no_such_part"])
def test_an_entry_point_that_names_no_package_is_logged_and_ignored(
    site: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    declare(site, f"[paddock.extensions]\n{line}\n")
    assert installed_extensions() == {}
    assert "names no package" in caplog.text


def test_a_folder_of_the_same_name_is_a_conflict(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "extensions" / "Dice"
    folder.mkdir(parents=True)
    (folder / "extension.py").write_text("X = 1")
    statuses = extension_statuses(manager_of(tmp_path))
    assert {status.name: status.state for status in statuses} == {"dice": "blocked", "Dice": "blocked"}
    assert "have the same name" in statuses[0].message
