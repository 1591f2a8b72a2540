"""The contents of the wheel, and the command `paddock` that it installs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build and return the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "uv", "build", "-q", "--wheel", "-o", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_brings_one_package_and_no_model_of_the_user(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    metadata = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {name.split("/")[0] for name in names} == {"paddock", metadata}
    models = {name.split("/")[3] for name in names if name.startswith("paddock/_app/models/")}
    assert models == {"demo", "demo.Q8_0.gguf"}
    assert {"paddock/_app/loaders/xllamacpp/requirements.txt", "paddock/py.typed"} <= set(names)


def test_the_installed_command_answers_and_keeps_its_data_in_the_users_folder(wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "LOCALAPPDATA": str(tmp_path / "data")}
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python), str(wheel)], check=True
    )
    answer = subprocess.run(
        [str(python.with_name("paddock")), "generate", "--prompt", "What is GGUF?"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "file format of llama.cpp" in answer.stdout
    (data,) = [path for path in (tmp_path / "data").rglob("models") if path.is_dir()]
    assert (data / "demo.Q8_0.gguf").is_file()
    assert (data.parent / "user_data").is_dir()
