"""What a worker cannot read, write or inherit, tested inside a real worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modules.runtime.sandbox_paths import in_memory_file, sandbox_variables
from modules.runtime.worker_process import clean_environment

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120

# Tries each argument in a hardened process, and prints the results as JSON.
_TRY = """
import json, os, sys
from modules.worker.sandbox import harden
said = harden()
from pathlib import Path
def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__
paths = json.loads(sys.argv[1])
import resource, tempfile
print(json.dumps({
    "said": said,
    "read": {path: tried(lambda: open(path, "rb").read(10)) for path in paths["read"]},
    "listed": {path: tried(lambda: os.listdir(path)) for path in paths.get("listed", [])},
    "write": {path: tried(lambda: Path(path, "new").write_text("x")) for path in paths["write"]},
    "parent": tried(lambda: open(f"/proc/{os.getppid()}/environ", "rb").read()),
    "temporary": tried(lambda: Path(tempfile.gettempdir(), "x").write_text("x")),
    "home": tried(lambda: Path("~/cached").expanduser().write_text("x")),
    "shaders": tried(lambda: Path(os.environ.get("MESA_SHADER_CACHE_DIR", "/nowhere")).mkdir()),
    "started": os.spawnlp(os.P_WAIT, "true", "true"),
    "inherited": os.spawnlp(os.P_WAIT, "grep", "grep", "-q", "", *paths["read"][-1:]),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    "privileges": [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")][0],
}))
"""


def _tried(tmp_path: Path, wanted: dict[str, list[str]], variables: dict[str, str]) -> dict[str, Any]:
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    folders = {"TMPDIR": str(temporary), "HOME": str(temporary)}
    command = [sys.executable, "-c", _TRY, json.dumps(wanted)]
    with in_memory_file(variables) as (handed, descriptors):
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env={**clean_environment(Path(sys.executable)), **folders, **handed},
            pass_fds=descriptors,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return paths of a model whose weights are a link to another folder, and of the user's files."""
    folders = {name: tmp_path / name for name in ("models", "models/m", "elsewhere", "user_data", "home", "data")}
    for folder in folders.values():
        folder.mkdir()
    (tmp_path / "elsewhere" / "weights").write_text("weights")
    (tmp_path / "models" / "m" / "weights").symlink_to(tmp_path / "elsewhere" / "weights")
    (tmp_path / "models" / "m" / "config.json").write_text("{}")
    (tmp_path / "user_data" / "chats.sqlite3").write_text("chats")
    (tmp_path / "home" / ".token").write_text("token")
    return folders


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_worker_reads_only_its_model_and_writes_only_its_temporary_folder(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    model = files["models/m"]
    variables = sandbox_variables(model, [files["models"]], [files["data"]])
    mine = [str(model / "weights"), str(model / "config.json"), str(ROOT / "modules/worker/serve.py"), "/etc/passwd"]
    others = [str(files["user_data"] / "chats.sqlite3"), str(files["home"] / ".token"), str(ROOT / "README.md")]
    places = [str(files[name]) for name in ("models/m", "user_data", "elsewhere")] + [str(ROOT), "/tmp", "/dev"]
    found = _tried(tmp_path, {"read": [*mine, *others], "write": [*places, str(files["data"])]}, variables)
    if not found["said"]:
        pytest.skip("this kernel has no Landlock")
    assert [found["read"][path] for path in mine] == ["done"] * len(mine)
    assert [found["read"][path] for path in others] == ["PermissionError"] * len(others)
    assert [found["write"][path] for path in places] == ["PermissionError"] * len(places)
    assert found["write"][str(files["data"])] == "done"
    assert (found["temporary"], found["home"], found["started"]) == ("done", "done", 0)
    assert found["shaders"] == "done", "graphics drivers keep what they compile"
    assert found["parent"] == "PermissionError", "the host's environment holds its secrets"
    assert found["inherited"] != 0, "what it starts is confined as well"


@pytest.mark.skipif(sys.platform != "linux", reason="these limits are Linux's")
@pytest.mark.parametrize("variables", [{}, {"PADDOCK_SANDBOX": "off"}, {"PADDOCK_SANDBOX": '{"no": 1}'}])
def test_without_landlock_a_worker_dumps_no_memory_and_gains_no_rights(
    tmp_path: Path, files: dict[str, Path], variables: dict[str, str]
) -> None:
    found = _tried(tmp_path, {"read": [str(files["home"] / ".token")], "write": []}, variables)
    assert (found["said"], found["core"], found["privileges"]) == ("", 0, "1")
    assert list(found["read"].values()) == ["done"]


def test_a_sandbox_never_includes_a_home_or_the_root(tmp_path: Path) -> None:
    home = Path.home()
    given = sandbox_variables(tmp_path, [home], [])
    found = _tried(tmp_path, {"read": [str(_secret_in(home))], "write": []}, given)
    if found["said"]:
        assert list(found["read"].values()) == ["PermissionError"]


def _secret_in(home: Path) -> Path:
    """Return a file of the user, or README.md if there is none."""
    return next((path for path in home.iterdir() if path.is_file() and os.access(path, os.R_OK)), ROOT / "README.md")


def test_the_user_can_switch_sandboxes_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDOCK_SANDBOX", "off")
    assert sandbox_variables(tmp_path, [], []) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only admins make links")
def test_a_link_in_a_circle_hinders_no_model_beside_it(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "m.gguf").write_text("")
    (value,) = sandbox_variables(tmp_path / "m.gguf", [], []).values()
    assert str(tmp_path / "m.gguf") in value


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_folder_for_extensions_that_is_filled_later_is_readable(tmp_path: Path, files: dict[str, Path]) -> None:
    later = tmp_path / "user_data" / "extensions"
    variables = sandbox_variables(files["models/m"], [later], [])
    (later / "x").mkdir()
    (later / "x" / "worker.py").write_text("")
    found = _tried(tmp_path, {"read": [str(later / "x" / "worker.py")], "write": [str(later)]}, variables)
    if not found["said"]:
        pytest.skip("this kernel has no Landlock")
    assert (list(found["read"].values()), list(found["write"].values())) == (["done"], ["PermissionError"])


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_models_folder_may_hold_thousands_of_links(tmp_path: Path, files: dict[str, Path]) -> None:
    for number in range(2_000):
        (files["models"] / f"{number}.gguf").symlink_to(files["elsewhere"] / f"{number}-{'of-a-hub' * 10}.gguf")
    variables = sandbox_variables(files["models/m"], [files["models"]], [])
    assert len(variables["PADDOCK_SANDBOX"]) > 131_072, "the longest variable that Linux takes"
    found = _tried(tmp_path, {"read": [str(files["models/m"] / "weights")], "write": []}, variables)
    assert list(found["read"].values()) == ["done"]
