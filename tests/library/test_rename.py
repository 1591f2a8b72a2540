"""Renaming models: every kind of model keeps its files and its ending, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modules.files.paths import PathError
from modules.library.rename import rename_model
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError, PaddockError
from tests.library.writers import gguf_bytes, write_folder
from tests.support.adapters import write_peft_adapter

REMOTE = "address: http://127.0.0.1:1\n"


@pytest.fixture
def rename(tmp_path: Path) -> Callable[[str, str], str]:
    """Return the function that renames a model in `tmp_path`."""
    return lambda old, new: rename_model(ModelLibrary(tmp_path), tmp_path, old, new)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_kind_of_model_is_renamed_with_its_ending(tmp_path: Path, rename: Callable[[str, str], str]) -> None:
    write_folder(tmp_path / "llama")
    write_folder(tmp_path / "owner" / "nested")
    write_peft_adapter(tmp_path / "style")
    (tmp_path / "a.GGUF").write_bytes(gguf_bytes())
    (tmp_path / "far.remote.yaml").write_text(REMOTE)
    assert rename("llama", "my llama") == "my llama"
    assert rename("owner/nested", "inner") == "owner/inner"
    assert rename("owner/inner", "owner/again") == "owner/again"
    assert rename("style", "tone") == "tone"
    assert rename("a.GGUF", "b") == "b.GGUF"
    assert rename("b.GGUF", "c.gguf") == "c.GGUF"
    assert rename("far.remote.yaml", "near") == "near.remote.yaml"
    library = ModelLibrary(tmp_path)
    assert library.names() == ["c.GGUF", "my llama", "near.remote.yaml", "owner/again"]
    assert [adapter.name for adapter in library.adapters()] == ["tone"]


@pytest.mark.parametrize("wanted", ["new", "new.gguf", "new-00001-of-00003.gguf"])
def test_all_parts_of_a_split_file_are_renamed(tmp_path: Path, rename: Callable[[str, str], str], wanted: str) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"old-0000{number}-of-00003.gguf").write_bytes(gguf_bytes() + bytes([number]))
    before = sorted(_files(tmp_path).values())
    assert rename("old-00001-of-00003.gguf", wanted) == "new-00001-of-00003.gguf"
    assert sorted(_files(tmp_path)) == [f"new-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert sorted(_files(tmp_path).values()) == before


def test_a_taken_name_is_refused_and_no_part_is_moved(tmp_path: Path, rename: Callable[[str, str], str]) -> None:
    for number in (1, 2):
        (tmp_path / f"old-0000{number}-of-00002.gguf").write_bytes(gguf_bytes())
    (tmp_path / "new-00002-of-00002.gguf").write_bytes(b"someone's")
    (tmp_path / "one.gguf").write_bytes(gguf_bytes())
    before = _files(tmp_path)
    with pytest.raises(ModelError, match="already"):
        rename("old-00001-of-00002.gguf", "new")
    with pytest.raises(ModelError, match="already"):
        rename("one.gguf", "one")
    assert _files(tmp_path) == before


@pytest.mark.parametrize(
    "wanted",
    ["", " ", "../out", "a/b", "/tmp/x", "C:x", "a\\b", "con", "nul.x", ".hidden", "a\nb", "x" * 201, "mmproj-x"],
)
def test_a_name_that_is_none_is_refused_and_changes_nothing(
    tmp_path: Path, rename: Callable[[str, str], str], wanted: str
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "one.gguf").write_bytes(gguf_bytes())
    before = _files(tmp_path)
    with pytest.raises(PathError):
        rename("one.gguf", wanted)
    assert _files(tmp_path) == before


def test_only_listed_models_are_renamed(tmp_path: Path, rename: Callable[[str, str], str]) -> None:
    write_folder(tmp_path / "llama")
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("llama/config.json", "notes.txt", "nothing", "..", "llama/.."):
        with pytest.raises(PaddockError):
            rename(name, "new")
    assert (tmp_path / "llama" / "config.json").exists() and (tmp_path / "notes.txt").exists()


def test_parts_that_were_renamed_get_their_names_back(
    tmp_path: Path, rename: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        (tmp_path / f"old-0000{number}-of-00002.gguf").write_bytes(gguf_bytes())
    before = _files(tmp_path)
    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "old-00002-of-00002.gguf":
            raise OSError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ModelError, match="Permission denied"):
        rename("old-00001-of-00002.gguf", "new")
    assert _files(tmp_path) == before
