"""The models folder: which models are listed, under which names, and when files are read again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modules.files.paths import PathError
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError
from tests.library.writers import gguf_bytes, write_folder


def _gguf(path: Path, raw: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes() if raw is None else raw)
    return path


def test_folders_and_ggufs_are_listed_with_nested_ones_by_path(tmp_path: Path) -> None:
    write_folder(tmp_path / "llama")
    write_folder(tmp_path / "owner" / "nested")
    _gguf(tmp_path / "b.gguf")
    _gguf(tmp_path / "A.GGUF")
    _gguf(tmp_path / "one" / "only.gguf")
    _gguf(tmp_path / "two" / "first.gguf")
    _gguf(tmp_path / "two" / "second.gguf")
    library = ModelLibrary(tmp_path)
    assert library.names() == [
        "A.GGUF",
        "b.gguf",
        "llama",
        "one",
        "owner/nested",
        "two/first.gguf",
        "two/second.gguf",
    ]
    for name in library.names():
        assert library.facts(name).problems == ()
        assert library.facts(name).name == name


def test_folders_inside_a_model_are_not_listed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "demo")
    write_folder(folder / "training")
    _gguf(folder / "training" / "x.gguf")
    assert ModelLibrary(tmp_path).names() == ["demo"]


def test_a_split_gguf_is_listed_once(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        _gguf(tmp_path / f"m-0000{number}-of-00003.gguf")
        _gguf(tmp_path / f"other-0000{number}-of-00003.gguf")
    assert ModelLibrary(tmp_path).names() == ["m-00001-of-00003.gguf", "other-00001-of-00003.gguf"]


def test_a_split_gguf_without_its_first_part_is_listed_with_the_problem(tmp_path: Path) -> None:
    _gguf(tmp_path / "m-00002-of-00003.gguf")
    library = ModelLibrary(tmp_path)
    assert library.names() == ["m-00002-of-00003.gguf"]
    assert "missing: m-00001-of-00003.gguf" in library.facts("m-00002-of-00003.gguf").problems[0]


def test_a_folder_without_a_model_is_listed_with_the_problem(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("hello")
    (tmp_path / "empty").mkdir()
    library = ModelLibrary(tmp_path)
    assert library.names() == ["notes"]
    assert "holds README.md but no config.json" in library.facts("notes").problems[0]


def test_an_empty_folder_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "deep" / "inner").mkdir(parents=True)
    library = ModelLibrary(tmp_path)
    assert library.facts("empty").problems[0].startswith("The folder is empty. ")
    assert library.facts("deep").problems[0].startswith("The folder holds no files, only folders")


def test_an_unknown_name_gets_twenty_names_and_the_count_of_the_rest(tmp_path: Path) -> None:
    for number in range(23):
        _gguf(tmp_path / f"m{number:02}.gguf")
    with pytest.raises(ModelError, match=r"m18\.gguf, m19\.gguf and 3 more\.$"):
        ModelLibrary(tmp_path).facts("nope")


def test_the_models_folder_is_named(tmp_path: Path) -> None:
    library = ModelLibrary(tmp_path)
    for look in (library.facts, library.adapter):
        with pytest.raises(ModelError) as caught:
            look("nope")
        assert caught.value.message.endswith(f"into {tmp_path}.")


def test_a_model_that_is_being_copied_is_not_listed(tmp_path: Path) -> None:
    raw = gguf_bytes()
    path = _gguf(tmp_path / "growing.gguf", raw[:-10])
    folder = write_folder(tmp_path / "folder")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-10])
    _gguf(tmp_path / "sub" / "growing.gguf", raw[:-10])
    for name in ("x.gguf.part", "x.gguf.download", "x.gguf.tmp", ".x.gguf"):
        _gguf(tmp_path / name, raw)
    library = ModelLibrary(tmp_path)
    assert library.names() == []
    path.write_bytes(raw)
    (folder / "model.safetensors").write_bytes(weights)
    assert library.names() == ["folder", "growing.gguf"]


def test_an_interrupted_copy_is_listed_with_the_problem(tmp_path: Path) -> None:
    os.utime(_gguf(tmp_path / "broken.gguf", gguf_bytes()[:-10]), (1, 1))
    library = ModelLibrary(tmp_path)
    assert library.names() == ["broken.gguf"]
    assert "cut short" in library.facts("broken.gguf").problems[0]


def test_facts_are_cached_until_the_files_change(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    library = ModelLibrary(tmp_path)
    before = library.facts("m")
    assert library.facts("m") is before
    (folder / "config.json").unlink()
    assert "no config.json" in library.facts("m").problems[0]


def test_the_error_for_an_unknown_name_lists_the_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There are none yet"):
        ModelLibrary(tmp_path / "nowhere").facts("x")
    _gguf(tmp_path / "there.gguf")
    for name in ("x", "y" * 5000, "there.gguf/x"):
        with pytest.raises(ModelError, match=r"The models are: there\.gguf\."):
            ModelLibrary(tmp_path).facts(name)


@pytest.mark.parametrize("name", ["../x", "..", "a/../../x", "/etc", "", ".", "a\0b", "C:\\x", "a\\..\\b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(PathError):
        ModelLibrary(tmp_path / "models").facts(name)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links_to_folders_are_followed_only_directly_in_models(tmp_path: Path) -> None:
    write_folder(tmp_path / "disk" / "big")
    _gguf(tmp_path / "disk" / "big.gguf")
    models = tmp_path / "models"
    models.mkdir()
    (models / "linked").symlink_to(tmp_path / "disk" / "big")
    (models / "linked.gguf").symlink_to(tmp_path / "disk" / "big.gguf")
    (models / "owner").mkdir()
    (models / "owner" / "inner").symlink_to(tmp_path / "disk" / "big")
    (models / "broken").symlink_to(tmp_path / "nowhere")
    (models / "round").symlink_to(models)
    (models / "store" / "snapshot").mkdir(parents=True)
    for name in ("a.gguf", "b.gguf"):
        (models / "store" / "snapshot" / name).symlink_to(tmp_path / "disk" / "big.gguf")
    library = ModelLibrary(models)
    names = [name for name in library.names() if not name.startswith("round/")]
    assert names == ["linked", "linked.gguf", "store/snapshot/a.gguf", "store/snapshot/b.gguf"]
    assert all(library.facts(name).problems == () for name in library.names())
    assert library.facts("linked").format == "safetensors"
    assert library.facts("linked.gguf").format == "gguf"
    with pytest.raises(PathError):
        library.facts("owner/inner")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are always Unicode there")
def test_a_name_that_is_not_utf_8_is_listed_readably(tmp_path: Path) -> None:
    raw_name = os.fsdecode(b"caf\xe9.gguf")
    _gguf(tmp_path / raw_name)
    library = ModelLibrary(tmp_path)
    assert library.names() == ["caf�.gguf"]
    facts = library.facts("caf�.gguf")
    assert "cannot be loaded under this name" in facts.problems[0]
    facts.path.encode()


def test_a_missing_models_folder_has_no_models(tmp_path: Path) -> None:
    assert ModelLibrary(tmp_path / "nowhere").names() == []
