"""The addresses file/… serve the files of a script, and nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.conftest import Stage
from tests.plugins.conftest import PATIENCE
from tests.support.server import serving


@pytest.fixture
def address(stage: Stage) -> Iterator[str]:
    """Serve an App with a script that has files, and return the address."""
    stage.script("voice", "params = {'key': 'secret'}", **{"out/1.wav": "RIFF", ".token": "x", "page.html": "<b>"})
    stage.script("webui-song", "audio = 'extensions/song/1.wav'", **{"1.wav": "RIFF"})
    (stage.root / "other").mkdir()
    (stage.root / "other" / "a.wav").write_text("off")
    (stage.root / "voice" / "link.wav").symlink_to(stage.app.paths.user_data / "chats.sqlite3")
    with serving(stage.app) as address:
        yield address


def get(url: str) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, "", {}


def test_files_of_a_script_that_is_on_are_served_and_do_not_run(stage: Stage, address: str) -> None:
    for path in ("extensions/voice", "user_data/extensions/voice", str(stage.folder("voice"))):
        status, body, headers = get(f"{address}/file/{path}/out/1.wav")
        assert (status, body, headers["content-security-policy"]) == (200, "RIFF", "sandbox")
    assert get(f"{address}/file/extensions/voice/page.html")[2]["x-content-type-options"] == "nosniff"


def test_files_are_also_served_under_the_authors_folder_name(address: str) -> None:
    assert get(f"{address}/file/extensions/song/1.wav")[:2] == (200, "RIFF")


@pytest.mark.parametrize(
    "path",
    [
        "extensions/voice/script.py",
        "extensions/song/script.py",
        "extensions/voice/.token",
        "extensions/voice/link.wav",
        "extensions/voice/../other/a.wav",
        "extensions/voice/%2e%2e/other/a.wav",
        "extensions/other/a.wav",
        "user_data/chats.sqlite3",
        "/etc/hostname",
        "extensions/voice",
        "",
    ],
)
def test_other_paths_are_not_served(address: str, path: str) -> None:
    assert get(f"{address}/file/{path}")[0] == 404


def test_a_script_that_is_switched_off_hands_out_nothing(stage: Stage, address: str) -> None:
    stage.manager.disable("voice")
    assert get(f"{address}/file/extensions/voice/out/1.wav")[0] == 404
    assert Path(stage.folder("voice") / "out" / "1.wav").exists()
