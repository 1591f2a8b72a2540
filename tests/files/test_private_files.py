"""What the user has is readable by the user alone; models and environments keep the umask."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modules.app import App
from modules.cli.parser import parser
from modules.files.private_files import make_private
from modules.protocol.errors import PaddockError
from modules.settings.config import Config, build_config
from modules.system.host_environment import private_uploads

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no modes; a home there is private"),
]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_data_of_an_earlier_version_becomes_private(config: Config) -> None:
    folder = config.paths.user_data
    for name in ("characters", "logs", "extensions/x"):
        (folder / name).mkdir(parents=True)
    sqlite3.connect(folder / "chats.sqlite3").close()
    for name in ("chats.sqlite3", "settings.yaml", "characters/a.yaml", "logs/x.log", "extensions/x/run.sh"):
        (folder / name).touch()
        (folder / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    outside = folder.parent / "outside"
    outside.touch(0o644)
    outside.chmod(0o644)
    (folder / "link").symlink_to(outside)
    os.utime(folder)
    app = App(config)
    try:
        chat = app.chats.create()
        app.settings.set("name1", "Sam")
        found = {path: _mode(path) for path in folder.rglob("*") if not path.is_symlink()}
        assert _mode(folder) == 0o700
        assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
        names = {path.name for path in folder.iterdir()}
        assert {"chats.sqlite3-wal", "chats.sqlite3-shm"} <= names and chat.id
        assert _mode(folder / "extensions/x/run.sh") == 0o700
        assert _mode(outside) == 0o644
    finally:
        app.close()


def test_models_keep_the_umask_also_below_the_data(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "user_data"
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "models" / "m" / "config.json").touch()
    for path in (folder / "models", folder / "models/m", folder / "models/m/config.json"):
        path.chmod(0o755)
    App(dataclasses.replace(config, models=folder / "models", user_data=folder)).close()
    assert (_mode(folder), _mode(folder / "models/m"), _mode(folder / "models/m/config.json")) == (0o700, 0o755, 0o755)
    make_private(folder / "models" / "m", [folder / "models"])
    assert _mode(folder / "models/m") == 0o755


def test_uploads_lie_in_a_private_folder_that_goes(tmp_path: Path) -> None:
    code = """
from modules.system.host_environment import private_uploads
with private_uploads():
    from gradio.utils import get_upload_folder
    print(get_upload_folder(), flush=True)
    input()
"""
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir() and _mode(folder) == 0o700 and folder.name != "gradio"
        process.stdin.write("\n")
    assert not folder.exists()
    with private_uploads():
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        (folder / "x").touch()
    assert not folder.exists() and "GRADIO_TEMP_DIR" not in os.environ


def _config(*flags: str) -> Config:
    return build_config(parser().parse_args(list(flags)), Path(__file__).parent)


def test_secrets_come_from_a_flag_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "word").write_text("from file \r\nsecond line\n")
    monkeypatch.setenv("PADDOCK_PASSWORD", "from environment")
    monkeypatch.setenv("PADDOCK_API_KEY", "key")
    file = ("--password-file", str(tmp_path / "word"))
    assert (_config().password, _config().api_key) == ("from environment", "key")
    assert _config(*file).password == "from file "
    assert _config(*file, "--password", "from flag").password == "from flag"
    assert _config("--listen").listen


@pytest.mark.parametrize("content", [None, b"", b"\n", b" \nx", b"\xff\xfe\xff"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "word").write_bytes(content)
    for flag in ("--password-file", "--api-key-file"):
        with pytest.raises(PaddockError, match=flag):
            _config(flag, str(tmp_path / "word"))
