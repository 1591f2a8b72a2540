"""Installing extensions: which files are installed, and which sources are refused."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from modules.plugins.folders import discover
from modules.plugins.git import InstallError
from modules.plugins.install import install as install_into
from modules.plugins.updates import update
from modules.protocol.errors import PaddockError
from tests.plugins.conftest import write_extension

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of extensions."""
    return tmp_path / "extensions"


def packed(path: Path, **files: str) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return path


def git(folder: Path, *command: str) -> None:
    """Run Git in a test repository."""
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", str(folder), *own, *command], check=True, capture_output=True)


def committed(folder: Path) -> Path:
    """Commit all files of a folder in a repository there."""
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        git(folder, *command)
    return folder


def with_submodules(folder: Path, addresses: dict[str, str], instead: str = "") -> Path:
    """Make a repository with submodules by path. `instead`: their address in its configuration."""
    committed(folder)
    for path, address in addresses.items():
        found = f"file://{folder.parent / address[3:]}" if address.startswith("../") else address
        git(folder, "submodule", "add", "--", found, path)
        text = (folder / ".gitmodules").read_text()
        (folder / ".gitmodules").write_text(text.replace(f"url = {found}", f"url = {instead or address}"))
    return committed(folder)


def install(source: str, root: Path) -> Path:
    """Install an extension, with Git's data in another folder."""
    return install_into(source, root, root.with_name("repositories"))


def nothing_left(root: Path) -> bool:
    """Return True if a refused install left no files."""
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
    # The repository refers to another commit than the last one.
    committed(write_extension(tmp_path, "part.git", "Y = 3"))
    folder = install(f"file://{source}", root)
    assert (folder / "part" / "extension.py").read_text() == "Y = 2"
    assert (folder / "part" / "deep" / "inner" / "extension.py").read_text() == "Z = 3"
    assert (folder / "near" / "extension.py").read_text() == "Z = 3"


@pytest.mark.parametrize(
    "address", ["ext::sh -c touch% x", "git@host:a/b.git", "/etc", "../$(x)", "../../../a/../b", "-x"]
)
def test_submodules_from_invalid_addresses_are_refused(tmp_path: Path, root: Path, address: str) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    source = with_submodules(write_extension(tmp_path, "dice.git", "X = 1"), {"part": f"file://{inner}"}, address)
    with pytest.raises(InstallError, match="its submodule part"):
        install(f"file://{source}", root)
    assert nothing_left(root)


def test_an_unreachable_submodule_is_a_sentence(tmp_path: Path, root: Path) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    source = with_submodules(write_extension(tmp_path, "dice.git", "X"), {"part": f"file://{inner}"}, "file:///no/such")
    with pytest.raises(InstallError, match="with all its submodules"):
        install(f"file://{source}", root)
    assert nothing_left(root)


def test_a_declared_submodule_that_was_removed_is_ignored(tmp_path: Path, root: Path) -> None:
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
def test_an_address_that_git_could_read_as_an_option_is_refused(address: str, root: Path) -> None:
    with pytest.raises(InstallError):
        install(address, root)
    assert nothing_left(root)


def test_an_unreachable_address_is_a_sentence(root: Path) -> None:
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
    monkeypatch.setattr("modules.plugins.install._check_entries", lambda entries, source: None)
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
    with pytest.raises(InstallError, match="contains links"):
        install(str(tmp_path / "x.zip"), root)
    source = write_extension(tmp_path, "linked", "")
    (source / "more.py").symlink_to("/etc/passwd")
    with pytest.raises(InstallError, match="a link that leads out"):
        install(str(source), root)
    assert nothing_left(root)


def test_a_source_without_an_extension_is_a_sentence(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    for source, words in (("empty", "contains no"), ("text.zip", "not a zip file"), ("gone", "There is nothing at")):
        with pytest.raises(InstallError, match=words):
            install(str(tmp_path / source), root)
    assert nothing_left(root)


def upstream(folder: Path, **files: str | None) -> None:
    """Commit these files to a repository. Files with None are removed."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py")
        if text is None:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "y")


def renewed(source: Path, folder: Path) -> None:
    """Update the extension that was installed from there."""
    update(f"file://{source}", folder, folder.parent.with_name("repositories"))


def test_git_data_and_bytecode_lie_outside_and_updates_still_work(tmp_path: Path, root: Path) -> None:
    part = committed(write_extension(tmp_path, "part.git", "Y = 1"))
    source = with_submodules(write_extension(tmp_path, "dice.git", "X = 1"), {"part": f"file://{part}"})
    upstream(source, gone_py="x", a="file", b__c="x", extra="x")
    (source / "inner" / "__pycache__").mkdir(parents=True)
    (source / "inner" / "__pycache__" / "x.pyc").write_text("evil")
    upstream(source)
    folder = install(f"file://{source}", root)
    assert not [path for path in folder.rglob("*") if path.name in (".git", "__pycache__")]
    (folder / "own.txt").write_text("mine")
    upstream(part, extension_py="Y = 2")
    git(source / "part", "pull", "-q", str(part))
    upstream(source, extension_py="X = 2", gone_py=None, a=None, b__c=None, new__more_py="z")
    upstream(source, a__now="a folder", b="a file")
    renewed(source, folder)
    assert (folder / "extension.py").read_text() == "X = 2" and (
        folder / "part" / "extension.py"
    ).read_text() == "Y = 2"
    assert (folder / "new" / "more.py").read_text() == "z" and not (folder / "gone.py").exists()
    assert (folder / "a" / "now").read_text() == "a folder" and (folder / "b").read_text() == "a file"
    assert (folder / "own.txt").read_text() == "mine"
    assert not [path for path in folder.rglob("*") if path.name in (".git", "__pycache__")]


def test_an_extension_within_a_repository_is_installed_and_updated(tmp_path: Path, root: Path) -> None:
    source = tmp_path / "whole.git"
    write_extension(source / "src", "dice", "X = 1")
    (source / "README.md").write_text("about")
    folder = install(f"file://{committed(source)}", root)
    assert folder == root / "dice" and not (folder / "README.md").exists()
    upstream(source, src__dice__extension_py="X = 2", src__dice__more_py="Y = 1")
    renewed(source, folder)
    assert (folder / "extension.py").read_text() == "X = 2" and (folder / "more.py").read_text() == "Y = 1"
    upstream(source, src__dice__extension_py=None, extension_py="X = 3")
    with pytest.raises(InstallError, match="has moved"):
        renewed(source, folder)
    assert (folder / "extension.py").read_text() == "X = 2"


def test_an_update_changes_nothing_where_a_file_was_changed_here(tmp_path: Path, root: Path) -> None:
    source = committed(write_extension(tmp_path, "dice.git", "X = 1", a_py="1", b_py="1", c_py="1"))
    folder = install(f"file://{source}", root)
    (folder / "a.py").write_text("mine")
    (folder / "c.py").write_text("mine, and not changed there")
    upstream(source, a_py="2", b_py="2")
    with pytest.raises(InstallError, match=r"a\.py changed both here and in the"):
        renewed(source, folder)
    assert [(folder / name).read_text() for name in ("a.py", "b.py")] == ["mine", "1"]
    (folder / "a.py").write_text("1")
    renewed(source, folder)
    assert [(folder / name).read_text() for name in ("a.py", "b.py")] == ["2", "2"]
    assert (folder / "c.py").read_text() == "mine, and not changed there"


def test_a_clone_that_a_person_put_there_keeps_its_git_data(tmp_path: Path, root: Path) -> None:
    source = committed(write_extension(tmp_path, "dice.git", "X = 1"))
    root.mkdir()
    folder = root / "dice"
    git(tmp_path, "clone", "-q", str(source), str(folder))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "notes").write_text("theirs")
    upstream(source, extension_py="X = 2")
    renewed(source, folder)
    assert (folder / "extension.py").read_text() == "X = 2"
    assert (folder / ".git").is_dir() and (folder / "__pycache__" / "notes").read_text() == "theirs"


@pytest.mark.parametrize("key", ["filter.x.smudge", "core.sshCommand", "include.path", "credential.helper"])
def test_git_settings_that_run_programs_are_not_followed(tmp_path: Path, root: Path, key: str) -> None:
    source = committed(write_extension(tmp_path, "dice.git", "X = 1"))
    root.mkdir()
    git(tmp_path, "clone", "-q", str(source), str(root / "dice"))
    git(root / "dice", "config", key, f"touch {tmp_path}/ran")
    upstream(source, extension_py="X = 2")
    with pytest.raises(InstallError, match="Git settings hold"):
        renewed(source, root / "dice")
    assert (root / "dice" / "extension.py").read_text() == "X = 1"


def test_a_source_folder_is_left_as_it_is_and_its_bytecode_is_not_copied(tmp_path: Path, root: Path) -> None:
    source = committed(write_extension(tmp_path / "from", "dice", "X = 1"))
    (source / "inner" / "__pycache__").mkdir(parents=True)
    (source / "inner" / "__pycache__" / "x.pyc").write_bytes(b"x")
    folder = install(str(source), root)
    assert sorted(path.name for path in folder.rglob("*")) == ["extension.py", "inner"]
    assert (source / ".git").is_dir() and (source / "inner" / "__pycache__" / "x.pyc").exists()


def test_a_zip_file_brings_neither_git_data_nor_bytecode(tmp_path: Path, root: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dice.zip", "w") as archive:
        for name in ("extension.py", ".git/config", "__pycache__/extension.pyc", "part/.git", "part/__pycache__/x.py"):
            archive.writestr(name, "x")
    folder = install(str(tmp_path / "dice.zip"), root)
    assert sorted(path.name for path in folder.rglob("*")) == ["extension.py", "part"]


def test_a_new_install_replaces_the_git_data_of_one_that_is_gone(tmp_path: Path, root: Path) -> None:
    source = committed(write_extension(tmp_path, "dice.git", "X = 1"))
    shutil.rmtree(install(f"file://{source}", root))
    upstream(source, extension_py="X = 2")
    folder = install(f"file://{source}", root)
    upstream(source, extension_py="X = 3")
    renewed(source, folder)
    assert (folder / "extension.py").read_text() == "X = 3"


@pytest.mark.parametrize("source", ["/dev/zero", "/dev/tty", "pipe", "socket", "link"])
def test_a_special_file_is_refused_and_never_read(tmp_path: Path, root: Path, source: str) -> None:
    path = special(tmp_path, source)
    with pytest.raises(InstallError, match="neither a folder nor a regular file"):
        install(str(path), root)
    assert nothing_left(root)


@pytest.mark.parametrize("source", ["pipe", "socket"])
@pytest.mark.parametrize("name", ["notes", "helper.py", "inner/requirements.txt"])
def test_a_folder_with_a_special_file_is_refused(tmp_path: Path, root: Path, source: str, name: str) -> None:
    folder = write_extension(tmp_path / "from", "dice", "X = 1")
    (folder / "inner").mkdir()
    special(tmp_path, source).rename(folder / name)
    with pytest.raises(InstallError, match="not a regular file"):
        install(str(folder), root)
    assert nothing_left(root)


@pytest.mark.parametrize("name", ["helper.py", "extension.yaml", "requirements.txt", "inner/data.so"])
def test_a_special_file_as_code_does_not_hang_the_list(tmp_path: Path, name: str) -> None:
    folder = write_extension(tmp_path / "extensions", "dice", "X = 1")
    (folder / "inner").mkdir()
    special(tmp_path, "pipe").rename(folder / name)
    assert "not a regular file" in discover([tmp_path / "extensions"])["dice"].problem


def special(folder: Path, kind: str) -> Path:
    """Return the path of something that is not a regular file."""
    path = folder / kind
    if kind.startswith("/"):
        return Path(kind)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    return path


def test_the_folder_that_extensions_go_to_is_none(tmp_path: Path, root: Path) -> None:
    root.mkdir()
    (tmp_path / "extension.py").write_text("")
    for source in (tmp_path, root):
        with pytest.raises(InstallError, match="Paddock's own extensions"):
            install(str(source), root)
    assert nothing_left(root)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:s3cret@127.0.0.1:1/x.git",
        "https://s3cret@127.0.0.1:1/x.git",
        "ssh://user:s3cret@127.0.0.1:1/x.git",
        "https://user:s3cret!@127.0.0.1:1/x.git",
        "https://user:a/s3cret@127.0.0.1:1/x.git",
        "https://user:a@s3cret@127.0.0.1:1/x.git",
    ],
)
def test_an_error_repeats_no_password(root: Path, address: str) -> None:
    with pytest.raises(InstallError) as error:
        install(address, root)
    assert "s3cret" not in error.value.message + error.value.detail


def test_the_address_of_a_submodule_repeats_no_password(tmp_path: Path, root: Path) -> None:
    inner = committed(write_extension(tmp_path, "inner.git", "Z = 3"))
    for address in ("http://user:s3cret@host/x", "file://user:s3cret@host/none"):
        source = write_extension(tmp_path, f"dice-{address[:4]}.git", "X = 1")
        with_submodules(source, {"part": f"file://{inner}"}, address)
        with pytest.raises(InstallError) as error:
            install(f"file://{source}", root)
        assert "s3cret" not in error.value.message + error.value.detail
