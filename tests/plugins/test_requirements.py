"""Packages of extensions: what is listed, what is refused, and that no code of theirs runs before consent."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from modules.plugins.consent import ConsentNeeded
from modules.plugins.requirement_text import Refused, lines_of, read
from modules.plugins.requirements import NotBuilt, RequirementsMissing, check
from modules.protocol.errors import PaddockError
from modules.ui.tabs.extensions_tab import _buttons
from tests.plugins.conftest import Place, write_extension
from tests.support.commands import run_command

pytestmark = pytest.mark.slow

_BACKEND = """
import pathlib, zipfile
pathlib.Path({marker!r}).write_text("code ran")
FILES = {files!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(pathlib.Path(folder, {wheel!r}), "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
    return {wheel!r}
def get_requires_for_build_wheel(config_settings=None):
    return []
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel_files(name: str, word: str, needs: str = "") -> dict[str, str]:
    """Return the files of a wheel: a module with a word."""
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    return {
        f"{name}.py": f"WORD = {word!r}",
        f"{name}-1.0.dist-info/METADATA": about,
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }


def wheel(folder: Path, name: str, needs: str = "") -> None:
    """Make a package with a wheel."""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for inner, text in wheel_files(name, "from the wheel", needs).items():
            archive.writestr(inner, text)


def source_package(folder: Path, marker: Path) -> Path:
    """Make a package that exists only as source. Building it writes `marker`."""
    folder.mkdir(exist_ok=True)
    path = folder / "pkd_source-1.0.tar.gz"
    built = {"wheel": "pkd_source-1.0-py3-none-any.whl", "files": wheel_files("pkd_source", "built")}
    files = {
        "backend.py": _BACKEND.format(marker=str(marker), **built),
        "pyproject.toml": _PROJECT,
        "PKG-INFO": "Metadata-Version: 2.1\nName: pkd-source\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"pkd_source-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the only source of packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "pkd-source @ file:///tmp/pkd_source-1.0.tar.gz",
        "pkd-source@file:///tmp/x.tar.gz",
        "pkd-source @ file:///tmp/x.tar.gz ; python_version >= '3'",
        "pkd-source[extra] @ git+https://host/x.git",
        "pkd-source @ https://host/x-1.0-py3-none-any.whl",
        "git+https://host/x.git",
        "git+ssh://git@host/x.git#egg=x",
        "https://host/x.whl",
        "file:///tmp/x",
        "file:x.whl",
        "./here",
        "../there",
        ".",
        "/tmp/here",
        "~/here",
        "C:\\here\\x.whl",
        "here.whl",
        "here.zip",
        "here.tar.gz",
        "HERE.ZIP ; python_version >= '3'",
        "-r more.txt",
        "-rmore.txt",
        "-c pins.txt",
        "-e .",
        "-e git+https://host/x.git#egg=x",
        "--index-url https://host/simple",
        "--extra-index-url=https://host/simple",
        "--find-links /tmp",
        "--no-binary :all:",
        "--pre",
        "pkd-source --global-option=build",
        "pkd-source==1 --config-settings a=b",
    ],
)
def test_requirements_that_are_not_package_names_are_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        read(line)
    (need,) = check([line], tmp_path)
    assert need.state == "refused" and repr(line) in need.sentence and "Ask its author" in need.sentence


@pytest.mark.parametrize(
    "line", ["flask", "flask>=2,<4", "flask[async]==3.*", "flask ; python_version > '3'", "a.b-c_d~=1.2"]
)
def test_packages_by_name_are_taken(line: str) -> None:
    assert read(line).name


def test_a_file_of_requirements_is_read_as_pip_reads_it() -> None:
    text = (
        "# words\nflask # more\nflask2#no comment\n\npkd \\\n  >=1 \\\n --hash=sha256:a --hash=sha256:b\n-r more.txt\n"
    )
    expected = ("flask", "flask2#no comment", "pkd    >=1", "-r more.txt")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be"):
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        assert lines_of(mark + text.encode(encoding)) == expected


def test_no_code_of_a_package_runs_before_separate_consent(place: Place, tmp_path: Path, index: Path) -> None:
    marker = tmp_path / "ran"
    source_package(index, marker)
    code = "import pkd_source\ndef input_modifier(string):\n    return pkd_source.WORD"
    write_extension(place.root, "needy", code, "requirements: [pkd-source]")
    found = place.manager.find("needy")
    for build in ("", found.sha256):
        with pytest.raises(ConsentNeeded, match="not agreed to run"):
            place.manager.install_packages("needy", build=build)
    place.manager.saved.give_consent("needy", found.sha256)
    for build in ("", "0" * 64):
        with pytest.raises(NotBuilt, match="no wheel for this machine"):
            place.manager.install_packages("needy", build=build)
    assert not marker.exists() and "--build" in place.status("needy").unbuilt
    place.manager.install_packages("needy", build=found.sha256)
    assert marker.read_text() == "code ran" and place.status("needy").unbuilt == ""


def test_a_wheel_that_needs_a_source_package_builds_nothing(place: Place, tmp_path: Path, index: Path) -> None:
    marker = tmp_path / "ran"
    address = source_package(tmp_path / "elsewhere", marker).as_uri()
    wheel(index, "pkd_outer", needs=f"pkd-source @ {address}")
    write_extension(place.root, "needy", "", "requirements: [pkd-outer]")
    place.manager.saved.give_consent("needy", place.manager.find("needy").sha256)
    with pytest.raises(PaddockError, match="were not installed"):
        place.manager.install_packages("needy")
    assert not marker.exists()


def test_an_address_is_never_installed_whatever_was_agreed(place: Place, tmp_path: Path, index: Path) -> None:
    marker = tmp_path / "ran"
    address = source_package(tmp_path / "elsewhere", marker).as_uri()
    wheel(index, "pkd_wheel")
    lines = f"pkd-wheel\npkd-source @ {address} ; python_version >= '3'\n-r {tmp_path}/more.txt\n"
    (tmp_path / "more.txt").write_text(f"pkd-source @ {address}")
    folder = write_extension(place.root, "needy", "")
    (folder / "requirements.txt").write_text(lines)
    found = place.manager.find("needy")
    place.manager.install_packages("needy", found.sha256, found.sha256)
    assert not marker.exists()
    assert {need.name: need.state for need in place.status("needy").needs} == {
        "pkd-wheel": "there",
        "pkd-source": "refused",
        f"-r {tmp_path}/more.txt": "refused",
    }
    place.manager.enable("needy")
    assert any("-r " in note for note in place.status("needy").notes)


def test_a_name_is_never_taken_for_a_file_beside_it(
    place: Place, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    source_package(tmp_path / "here", marker)
    monkeypatch.chdir(tmp_path / "here")
    Path("pkd-source").mkdir()
    Path("pyproject.toml").write_text(f"[tool.uv.sources]\npkd-source = {{ path = '{tmp_path}/here' }}\n")
    write_extension(place.root, "needy", "", "requirements: [pkd-source, pkd_source-1.0.tar.gz]")
    sha256 = place.manager.find("needy").sha256
    with pytest.raises(PaddockError, match="were not installed"):
        place.manager.install_packages("needy", sha256, sha256)
    assert not marker.exists()


def buttons(place: Place, name: str) -> list[str]:
    """Return the buttons on an extension's card, without its name."""
    with gr.Blocks() as page:
        app: Any = SimpleNamespace(extensions=place.manager)
        _buttons(app, place.status(name), 0, [])
    ids = (block.elem_id for block in page.blocks.values() if isinstance(block, gr.Button))
    return [str(id).removeprefix("extension-").removesuffix(f"-{name}") for id in ids]


def test_the_card_offers_packages_after_consent_and_building_after_both(
    place: Place, tmp_path: Path, index: Path
) -> None:
    source_package(index, tmp_path / "ran")
    write_extension(place.root, "needy", "import pkd_source", "requirements: [pkd-source]")
    assert buttons(place, "needy") == ["agree"]
    with pytest.raises(RequirementsMissing):
        place.manager.enable("needy", place.status("needy").sha256)
    assert buttons(place, "needy") == ["on", "packages"]
    with pytest.raises(NotBuilt):
        place.manager.install_packages("needy")
    assert buttons(place, "needy") == ["on", "packages", "build"]
    place.manager.install_packages("needy", build=place.status("needy").sha256)
    assert buttons(place, "needy") == ["on"]
    (place.root / "needy" / "more.py").write_text("")
    assert buttons(place, "needy") == ["agree"]


def test_requirements_that_an_update_brings_wait_for_consent_again(place: Place, index: Path) -> None:
    wheel(index, "pkd_wheel")
    place.add("needy", "X = 1")
    (place.root / "needy" / "requirements.txt").write_text("pkd-wheel")
    with pytest.raises(ConsentNeeded):
        place.manager.install_packages("needy")
    assert place.status("needy").state == "on" and not place.manager.packages.folder("needy").exists()


def test_the_command_line_asks_in_the_same_order(root: Path, tmp_path: Path, index: Path) -> None:
    marker, data = tmp_path / "ran", tmp_path / "user_data"
    source_package(index, marker)
    code = "import pkd_source\nassert pkd_source.WORD == 'built'"
    write_extension(data / "extensions", "needy", code, "requirements: [pkd-source]")
    base = ["--user-data", str(data), "extensions"]

    def enable(*flags: str) -> subprocess.CompletedProcess[str]:
        return run_command(root, *base, "enable", "needy", *flags)

    for flags, words in (
        (("--packages",), "--yes"),
        (("--packages", "--build"), "--yes"),
        (("--yes", "--build"), "Give --packages too"),
        (("--yes", "--packages"), "--build."),
    ):
        answer = enable(*flags)
        assert answer.returncode != 0 and words in answer.stderr, answer.stderr
        assert not marker.exists()
    assert enable("--yes", "--packages", "--build").returncode == 0
    listed = run_command(root, *base, "list", "--json")
    (row,) = (row for row in json.loads(listed.stdout) if row["name"] == "needy")
    assert row["enabled"] and row["needs"][0]["state"] == "there"
