"""First starts that are damaged, moved, repeated or killed, with only the installer, so that each takes seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it kills and links as POSIX does")
PATIENCE = 120.0
GONE = "is gone or has another version, so .venv is rebuilt"
MAKING = "Creating a Python environment"
SCRIPT = """
import sys, pathlib
from modules.system import bootstrap
bootstrap.ensure(pathlib.Path(__file__).parent, sys.argv)
import uv
print("in", sys.prefix)
"""


class Small:
    """A copy of Paddock's start that needs only the package uv."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, root: Path, folder: Path) -> Small:
        shutil.copytree(root / "modules", folder / "modules", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "requirements").mkdir()
        lines = (root / "requirements" / "host.txt").read_text().splitlines()
        (folder / "requirements" / "host.txt").write_text(next(line for line in lines if line.startswith("uv==")))
        (folder / "start.py").write_text(SCRIPT)
        return cls(folder)

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    def begin(self) -> subprocess.Popen[str]:
        base = getattr(sys, "_base_executable", sys.executable)
        kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        return subprocess.Popen(
            [base, str(self.folder / "start.py")],
            env={**kept, "PADDOCK_TEST_FOLDER": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self) -> str:
        """Start it, and return its output before it runs in its environment."""
        said, faults = self.begin().communicate(timeout=PATIENCE)
        *before, last = said.splitlines()
        assert (last, faults) == (f"in {self.venv}", ""), (said, faults)
        return "\n".join(before)

    def running(self) -> list[psutil.Process]:
        """Return its running processes."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PADDOCK_TEST_FOLDER") == str(self.folder):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def small(tmp_path: Path, root: Path) -> Small:
    return Small.of(root, (tmp_path / "a folder wïth ✿").resolve())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Return one that was started before."""
    made = Small.of(Path(__file__).resolve().parents[2], tmp_path_factory.mktemp("made").resolve() / "paddock")
    assert MAKING in made.start()
    return made


@pytest.fixture
def moved(made: Small, tmp_path: Path) -> Small:
    """Return the same in another folder."""
    return Small(shutil.copytree(made.folder, (tmp_path / "elsewhere").resolve(), symlinks=True))


def _vanish(small: Small) -> None:
    """Break the links in the environment, as uninstalling Python does."""
    for link in small.python.parent.glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/bin/python")


def _fail(small: Small) -> None:
    small.python.unlink()
    small.python.write_text("#!/bin/sh\nexit 3\n")
    small.python.chmod(0o755)


def _become_another_version(small: Small) -> None:
    """As a distribution's upgrade does it: the link leads to the next Python, the packages are those of the last."""
    major, minor = sys.version_info[:2]
    (small.venv / "lib" / f"python{major}.{minor}").rename(small.venv / "lib" / f"python{major}.{minor - 1}")
    file = small.venv / "pyvenv.cfg"
    file.write_text(file.read_text().replace(f"version = {major}.{minor}.", f"version = {major}.{minor - 1}."))
    marker = small.venv / "paddock-host.txt"
    marker.write_text(marker.read_text().replace("interpreter /", "interpreter /old/"))


def _lose_its_configuration(small: Small) -> None:
    (small.venv / "pyvenv.cfg").unlink()


@pytest.mark.parametrize("spoil", [_vanish, _fail, _become_another_version, _lose_its_configuration])
def test_a_spoilt_environment_is_made_again_with_a_sentence(moved: Small, spoil: Callable[[Small], None]) -> None:
    spoil(moved)
    assert GONE in moved.start()
    assert moved.start() == ""


def test_a_folder_that_was_moved_starts_as_it_is(moved: Small) -> None:
    assert moved.start() == ""


def test_a_newer_build_of_the_same_version_is_no_reason_to_make_it_again(moved: Small) -> None:
    marker = moved.venv / "paddock-host.txt"
    before = marker.read_text()
    marker.write_text(before.replace("interpreter /", "interpreter /old/"))
    assert moved.start() == ""
    assert marker.read_text() == before


def test_the_second_of_two_first_starts_waits_for_the_first_and_says_so(small: Small) -> None:
    first = small.begin()
    assert first.stdout is not None and MAKING in first.stdout.readline()
    second, _ = small.begin().communicate(timeout=PATIENCE)
    assert "Another start of Paddock is setting up .venv" in second and MAKING not in second
    for said in (first.communicate(timeout=PATIENCE)[0], second):
        assert said.splitlines()[-1] == f"in {small.venv}"


@pytest.mark.parametrize("line", [MAKING, "Downloading the installer", "Installing Paddock's packages"])
def test_a_first_start_that_was_killed_is_made_good_by_the_next(small: Small, line: str) -> None:
    with small.begin() as killed:
        assert killed.stdout is not None
        while line not in (said := killed.stdout.readline()):
            assert said
        killed.kill()
    small.start()
    assert small.start() == ""


@pytest.mark.parametrize("line", [MAKING, "Downloading the installer"])
def test_a_first_start_that_is_terminated_ends_what_it_started(small: Small, line: str) -> None:
    with small.begin() as stopped:
        assert stopped.stdout is not None and stopped.stderr is not None
        while line not in (said := stopped.stdout.readline()):
            assert said
        stopped.send_signal(signal.SIGTERM)
        assert "The next start continues from here" in stopped.stderr.read()
    _, alive = psutil.wait_procs(small.running(), timeout=PATIENCE)
    assert stopped.returncode == 1 and not alive
    small.start()


def test_what_a_failed_install_left_is_installed_again_in_full(moved: Small) -> None:
    """As on a full disk: pip counts a package as installed although its program is incomplete."""
    (moved.venv / "paddock-host.txt").unlink()
    (moved.venv / "bin" / "uv").write_text("")
    (moved.folder / ".venv.lock").write_text("packages")
    assert MAKING not in moved.start()
    assert (moved.folder / ".venv.lock").read_text() == ""
    assert moved.start() == ""
