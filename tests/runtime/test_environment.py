"""Environments: built whole or not at all, verified by importing the engine, found by the hash of their pins."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.echo.spec import SPEC as ECHO
from modules.protocol.errors import EnvironmentBroken
from modules.protocol.model_facts import Machine
from modules.runtime.environment import MARKER, Environments
from modules.system.pip_config import package_sources, read_pip_config
from tests.support.wheels import make_wheel

MACHINE = Machine("linux", "x86_64", 2, 1 << 33, 1 << 33)
SPEC = dataclasses.replace(
    ECHO, name="toy", title="Toy", requirements="requirements.txt", probe="import toyengine; print(toyengine.VERSION)"
)


def _wheel(folder: Path, version: str, code: str, needs: str = "") -> None:
    make_wheel(folder, "toyengine", version, code, needs)


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """Environments whose packages come from a folder, as a user's pip configuration says."""
    _wheel(tmp_path / "wheels", "1.0", "VERSION = '1.0'\n")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nno-index = true\nfind-links = {tmp_path / 'wheels'}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "loaders" / "toy").mkdir(parents=True)
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine==1.0\n")
    return Environments(tmp_path / "envs", [tmp_path / "loaders"], MACHINE)


def _quiet(text: str, fraction: float | None) -> None:
    assert text


def test_a_build_is_verified_and_found_again(environments: Environments) -> None:
    assert not environments.status(SPEC).installed
    fractions: list[float] = []
    path = environments.build(SPEC, lambda text, fraction: fractions.append(fraction or 0.0))
    status = environments.status(SPEC)
    assert status.installed
    assert status.engine == "1.0"
    assert status.size_bytes > 0
    assert environments.python(SPEC).is_relative_to(path)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_other_pins_make_another_environment_and_the_old_one_stays_until_pruned(
    environments: Environments, tmp_path: Path
) -> None:
    old = environments.build(SPEC, _quiet)
    _wheel(tmp_path / "wheels", "2.0", "VERSION = '2.0'\n")
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine==2.0\n")
    assert not environments.status(SPEC).installed
    new = environments.build(SPEC, _quiet)
    assert old.exists()
    assert [name for name, _ in environments.prune([SPEC])] == [old.name]
    assert not old.exists()
    assert new.exists()


def test_an_engine_that_does_not_import_leaves_nothing_that_counts(environments: Environments, tmp_path: Path) -> None:
    _wheel(tmp_path / "wheels", "3.0", "raise ImportError('wrong build')\n")
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine==3.0\n")
    with pytest.raises(EnvironmentBroken, match="its engine cannot be imported") as caught:
        environments.build(SPEC, _quiet)
    assert "wrong build" in caught.value.detail
    assert not environments.status(SPEC).path.exists()


def test_a_missing_system_library_is_named(environments: Environments, tmp_path: Path) -> None:
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    _wheel(tmp_path / "wheels", "4.0", f"raise ImportError('{message}')\n")
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine==4.0\n")
    with pytest.raises(EnvironmentBroken, match="needs the system library libgomp.so.1.*apt install libgomp1"):
        environments.build(SPEC, _quiet)


def test_a_package_that_does_not_exist_is_a_sentence(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine==9.9\n")
    with pytest.raises(EnvironmentBroken, match="has no package for this Python"):
        environments.build(SPEC, _quiet)
    assert not environments.status(SPEC).installed


def test_a_wheel_for_other_machines_alone_is_a_sentence(environments: Environments, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    (wheels / "toyengine-1.0-py3-none-any.whl").rename(wheels / "toyengine-1.0-cp27-cp27m-macosx_10_6_intel.whl")
    with pytest.raises(
        EnvironmentBroken, match=r"has no package for this Python .* Try another Python version"
    ) as raised:
        environments.build(SPEC, _quiet)
    assert "toyengine" in raised.value.detail
    assert not environments.status(SPEC).installed


def test_what_is_compiled_here_wants_a_compiler_before_an_install(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = dataclasses.replace(SPEC, compiled=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "needs a C++ compiler. Install one" in environments.status(compiled).problem
    (tmp_path / "g++").write_text("#!/bin/sh\n")
    (tmp_path / "g++").chmod(0o755)
    assert environments.status(compiled).problem == ""


def test_a_system_that_a_loader_does_not_run_on_is_named() -> None:
    only_linux = dataclasses.replace(SPEC, systems=("linux",))
    assert only_linux.machine_problem(MACHINE) == ""
    assert only_linux.machine_problem(dataclasses.replace(MACHINE, system="darwin")) == "Toy runs on Linux only."


def test_no_network_is_a_sentence_with_a_next_step(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text("toyengine-elsewhere==1.0\n")
    with pytest.raises(EnvironmentBroken, match="the package index did not answer. Check the network"):
        environments.build(SPEC, _quiet)


def test_an_incomplete_environment_is_rebuilt(environments: Environments) -> None:
    path = environments.build(SPEC, _quiet)
    (path / MARKER).unlink()
    (path / "pyvenv.cfg").unlink()
    assert not environments.status(SPEC).installed
    environments.build(SPEC, _quiet)
    assert environments.status(SPEC).installed


def _vanish(path: Path) -> None:
    for link in (path / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/bin/python")


def _become_another_version(path: Path) -> None:
    file = path / "pyvenv.cfg"
    file.write_text(re.sub(r"version_info = \d+\.\d+", "version_info = 3.2", file.read_text()))


def _be_no_python(path: Path) -> None:
    (path / "bin" / "python").unlink()
    (path / "bin" / "python").write_text("this runs nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="an environment has other files there")
@pytest.mark.parametrize("spoil", [_vanish, _become_another_version, _be_no_python])
def test_an_environment_whose_python_is_gone_or_another_counts_no_more_and_is_made_again(
    environments: Environments, spoil: Callable[[Path], None]
) -> None:
    path = environments.build(SPEC, _quiet)
    spoil(path)
    assert not environments.status(SPEC).installed
    texts: list[str] = []
    environments.build(SPEC, lambda text, fraction: texts.append(text))
    assert texts[0] == "The Python of Toy is gone or has another version. Rebuilding its environment"
    assert environments.status(SPEC).installed


def test_environments_count_where_the_folder_was_moved_to(environments: Environments, tmp_path: Path) -> None:
    path = environments.build(SPEC, _quiet)
    (tmp_path / "envs").rename(tmp_path / "moved")
    moved = Environments(tmp_path / "moved", [tmp_path / "loaders"], MACHINE)
    assert moved.status(SPEC).installed and not path.exists()
    code = "import toyengine; print(toyengine.VERSION)"
    assert subprocess.check_output([str(moved.python(SPEC)), "-c", code], text=True) == "1.0\n"


def test_an_older_marker_is_believed_after_one_look_at_the_interpreter(
    environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = environments.build(SPEC, _quiet)
    marker = json.loads((path / MARKER).read_text())
    signature = marker.pop("interpreter")
    (path / MARKER).write_text(json.dumps(marker))
    assert environments.status(SPEC).installed
    assert json.loads((path / MARKER).read_text())["interpreter"] == signature
    monkeypatch.setattr(subprocess, "run", None)
    assert environments.status(SPEC).installed


def test_a_folder_that_cannot_be_written_is_a_sentence(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "envs").write_text("a file where the folder belongs")
    with pytest.raises(EnvironmentBroken, match="Toy could not be installed: .*envs cannot be written .*then run: "):
        environments.build(SPEC, _quiet)


def test_pip_configuration_becomes_uv_arguments() -> None:
    sources = package_sources(
        {
            "index-url": "https://mirror.test/simple",
            "extra-index-url": "https://a.test https://b.test",
            "find-links": "/wheels /more",
            "cert": "/certs.pem",
            "trusted-host": "mirror.test",
            "proxy": "http://proxy.test:3128",
        }
    )
    text = " ".join(sources.arguments)
    assert "--default-index https://mirror.test/simple" in text
    assert "--index https://a.test --index https://b.test --index-strategy unsafe-best-match" in text
    assert "--find-links /wheels --find-links /more" in text
    assert "--allow-insecure-host mirror.test" in text
    assert sources.environment["SSL_CERT_FILE"] == "/certs.pem"
    assert sources.environment["HTTPS_PROXY"] == "http://proxy.test:3128"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://file.test\nproxy = http://file.test\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.test")
    config = read_pip_config()
    assert config["index-url"] == "https://environment.test"
    assert config["proxy"] == "http://file.test"


def test_pins_that_are_missing_are_told_and_break_no_list(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "loaders" / "toy" / "requirements.txt").unlink()
    status = environments.status(SPEC)
    assert not status.installed
    assert "loaders/toy/requirements.txt" in status.problem
    with pytest.raises(EnvironmentBroken, match="Restore it"):
        environments.build(SPEC, _quiet)


def test_a_later_step_takes_what_a_package_asks_for_wrongly(environments: Environments, tmp_path: Path) -> None:
    _wheel(tmp_path / "wheels", "4.0", "VERSION = '4.0'\n", needs="nowhere-to-be-had==1.0")
    pins = tmp_path / "loaders" / "toy" / "requirements.txt"
    pins.write_text("toyengine==4.0\n")
    with pytest.raises(EnvironmentBroken, match="has no package"):
        environments.build(SPEC, _quiet)
    pins.write_text("# nothing first\n# paddock: then --no-deps --no-build-isolation\ntoyengine==4.0\n")
    environments.build(SPEC, _quiet)
    assert environments.status(SPEC).engine == "4.0"


@pytest.mark.parametrize(
    "line", ["# paddock: than --no-deps", "# paddock: then --index-url", "# paddock: then nothing"]
)
def test_a_step_that_is_not_understood_is_refused(environments: Environments, tmp_path: Path, line: str) -> None:
    (tmp_path / "loaders" / "toy" / "requirements.txt").write_text(f"{line}\ntoyengine==1.0\n")
    with pytest.raises(EnvironmentBroken, match="# paddock: then, followed by any of --no-deps --no-build-isolation"):
        environments.build(SPEC, _quiet)
    assert not environments.status(SPEC).installed
