"""Names from outside stay inside their folder, and a file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.files.data_files import DataFileError, read_json
from modules.files.paths import PathError, Paths, safe_file_path, safe_join, write_atomically
from modules.protocol.errors import PaddockError


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "/",
        "..",
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:\\x",
        "c:/x",
        "a\\..\\x",
        "a\0b",
        "half\ud83d",
        "a\nb",
        "\\\\host\\x",
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathError, match="is not a valid name"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "a/b.gguf", "üñí 🐎", "..hidden", "a..b", "-flag"])
def test_a_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name).is_relative_to(tmp_path)


def test_a_link_that_leads_out_is_refused_unless_its_owner_may(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked").symlink_to(tmp_path)
    with pytest.raises(PathError, match="link that leads out"):
        safe_join(tmp_path / "models", "linked")
    assert safe_join(tmp_path / "models", "linked", follow_links=True).exists()


def test_a_link_in_a_circle_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "circle.json").symlink_to("circle.json")
    with pytest.raises(DataFileError, match="the system says"):
        read_json(safe_join(tmp_path, "circle.json"))


def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.yaml"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        PaddockError, match="settings.yaml could not be saved .No space left on device.. Free some disk"
    ):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_elsewhere_is_told_in_full() -> None:
    paths = Paths(Path("/here"), Path("/here/models"), Path("/data"), Path("/here/.envs"))
    assert paths.display(paths.models) == "models/"
    assert paths.display(paths.characters) == "/data/characters"


@pytest.mark.parametrize(
    "name", ["CON", "nul.txt", "a/aux", "com1.gguf", "LPT9", "COM¹.x", "con .x", "conin$", "PRN:x"]
)
def test_devices_of_windows_are_no_names_on_any_system(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathError):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("letter", ["\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\u200f", "\r"])
def test_letters_that_hide_what_a_name_is_are_refused(tmp_path: Path, letter: str) -> None:
    with pytest.raises(PathError):
        safe_join(tmp_path, f"a{letter}b")
    with pytest.raises(PathError):
        safe_file_path(tmp_path, f"a{letter}b", ".yaml", "preset")


@pytest.mark.parametrize(
    "name", ["console", "nullable.gguf", "auxiliary", "com10", "Zoë 日本 🦊", "a.con", "Who?", "שלום"]
)
def test_names_that_only_look_like_those_are_taken(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name
