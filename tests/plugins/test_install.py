"""Installing: what comes in, and every kind of source that must not."""

from __future__ import annotations

import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from modules.plugins.install import InstallError, install
from modules.protocol.errors import PaddockError
from tests.plugins.conftest import write_extension


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where extensions go."""
    return tmp_path / "extensions"


def packed(path: Path, **files: str) -> Path:
    """A zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return path


def git(folder: Path, *command: str) -> None:
    """Run Git in a repository of the test's."""
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", str(folder), *own, *command], check=True, capture_output=True)


def committed(folder: Path) -> Path:
    """All that is in a folder, as a commit of a repository there."""
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        git(folder, *command)
    return folder


def with_submodules(folder: Path, addresses: dict[str, str], instead: str = "") -> Path:
    """A repository with submodules by path; `instead`: the address that it says they have."""
    committed(folder)
    for path, address in addresses.items():
        found = f"file://{folder.parent / address[3:]}" if address.startswith("../") else address
        git(folder, "submodule", "add", "--", found, path)
        text = (folder / ".gitmodules").read_text()
        (folder / ".gitmodules").write_text(text.replace(f"url = {found}", f"url = {instead or address}"))
    return committed(folder)


def nothing_left(root: Path) -> bool:
    """Whether a refusal left no trace."""
    return not root.exists() or not list(root.iterdir())


def test_a_folder_is_copied_and_stays_where_it_was(tmp_path: Path, root: Path) -> None:
    source = write_extension(tmp_path / "from", "dice", "X = 1")
    folder = install(str(source), root)
    assert folder == root / "dice" and (folder / "extension.py").read_text() == "X = 1"
    assert (source / "extension.py").exists()
    with pytest.raises(InstallError, match="an extension named dice already"):
        install(str(source), root)


def test_a_zip_file_with_a_folder_around_it_is_unpacked(tmp_path: Path, root: Path) -> None:
    assert (
        install(str(packed(tmp_path / "dice-main.zip", dice__script_py="", dice__data__a="x")), root) == root / "dice"
    )
    assert (root / "dice" / "data" / "a").read_text() == "x"


def test_a_repository_is_cloned(tmp_path: Path, root: Path) -> None:
    source = committed(write_extension(tmp_path, "dice.git", "X = 1"))
    assert install(f"file://{source}", root) == root / "dice"


def test_submodules_are_fetched_with_the_repository(tmp_path: Path, root: Path) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    part = with_submodules(write_extension(tmp_path, "part.git", "Y = 2"), {"deep/inner": f"file://{inner}"})
    links = {"part": f"file://{part}", "near": "../inner.git"}
    source = with_submodules(write_extension(tmp_path, "dice.git", "X = 1"), links)
    # Another commit than the last one is what the repository names.
    committed(write_extension(tmp_path, "part.git", "Y = 3"))
    folder = install(f"file://{source}", root)
    assert (folder / "part" / "extension.py").read_text() == "Y = 2"
    assert (folder / "part" / "deep" / "inner" / "extension.py").read_text() == "Z = 3"
    assert (folder / "near" / "extension.py").read_text() == "Z = 3"


@pytest.mark.parametrize(
    "address", ["ext::sh -c touch% x", "git@host:a/b.git", "/etc", "../$(x)", "../../../a/../b", "-x"]
)
def test_submodules_from_addresses_that_are_none_are_refused(tmp_path: Path, root: Path, address: str) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    source = with_submodules(write_extension(tmp_path, "dice.git", "X = 1"), {"part": f"file://{inner}"}, address)
    with pytest.raises(InstallError, match="its part part"):
        install(f"file://{source}", root)
    assert nothing_left(root)


def test_a_submodule_that_nobody_answers_for_is_a_sentence(tmp_path: Path, root: Path) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    source = with_submodules(write_extension(tmp_path, "dice.git", "X"), {"part": f"file://{inner}"}, "file:///no/such")
    with pytest.raises(InstallError, match="with all its submodules"):
        install(f"file://{source}", root)
    assert nothing_left(root)


def test_a_submodule_that_is_declared_and_no_part_any_more_is_left_out(tmp_path: Path, root: Path) -> None:
    source = write_extension(tmp_path, "dice.git", "X = 1")
    (source / ".gitmodules").write_text('[submodule "gone"]\n\tpath = gone\n\turl = git@host:gone.git\n')
    assert (install(f"file://{committed(source)}", root) / "extension.py").read_text() == "X = 1"


@pytest.mark.parametrize(
    "address",
    [
        "https://host/$(touch x)",
        "https://host/a;b",
        "https://host/a b",
        "https://host/`id`",
        "https://host/a|b",
        "https://host/a\nb",
        "ext::sh -c touch% /tmp/x",
        "ext::sh://x",
        "--upload-pack=touch://x",
        "git@host:--upload-pack=x",
        "http://host/plain",
        "https://host/../../x",
    ],
)
def test_an_address_that_could_be_more_than_an_address_is_refused(address: str, root: Path) -> None:
    with pytest.raises(InstallError):
        install(address, root)
    assert nothing_left(root)


def test_an_address_that_nobody_answers_is_a_sentence(root: Path) -> None:
    with pytest.raises(InstallError, match="could not be cloned"):
        install("file:///no/such/repository.git", root)
    assert nothing_left(root)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, root: Path) -> None:
    with pytest.raises(InstallError, match="zip bomb"):
        install(str(packed(tmp_path / "b.zip", extension_py="", data="0" * 30_000_000)), root)
    assert nothing_left(root)


def test_a_zip_file_that_lies_about_its_size_is_stopped(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.plugins.install.MOST_BYTES", 100_000)
    monkeypatch.setattr("modules.plugins.install._judge", lambda entries, source: None)
    with pytest.raises(InstallError, match="too large"):
        install(str(packed(tmp_path / "b.zip", extension_py="", data="0" * 200_000)), root)
    assert nothing_left(root)


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a\\..\\out.py", "C:/out.py"])
def test_a_zip_file_whose_entries_lead_out_is_refused(tmp_path: Path, root: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("extension.py", "")
        archive.writestr(name, "out")
    with pytest.raises(PaddockError):
        install(str(tmp_path / "x.zip"), root)
    assert nothing_left(root) and not (tmp_path / "out.py").exists()


def test_links_are_refused(tmp_path: Path, root: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("extension.py", "")
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InstallError, match="holds links"):
        install(str(tmp_path / "x.zip"), root)
    source = write_extension(tmp_path, "linked", "")
    (source / "more.py").symlink_to("/etc/passwd")
    with pytest.raises(InstallError, match="a link that leads out"):
        install(str(source), root)
    assert nothing_left(root)


def test_what_is_no_extension_is_a_sentence(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    for source, words in (("empty", "holds no"), ("text.zip", "not a zip file"), ("gone", "There is nothing at")):
        with pytest.raises(InstallError, match=words):
            install(str(tmp_path / source), root)
    assert nothing_left(root)
