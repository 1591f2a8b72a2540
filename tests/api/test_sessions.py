"""Sessions in a file: what survives a restart, what ends them, and what a copy of the file reveals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.api.sessions import Sessions

DAY = 86_400.0


def test_a_session_survives_a_restart_and_ends_with_its_credentials(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    token = Sessions(path).begin("anna", "password 1")
    again = Sessions(path)
    assert again.name(token) == "anna"
    assert again.began_with(token, "password 1")
    assert not again.began_with(token, "password 2")
    again.end(token)
    assert Sessions(path).name(token) is None


def test_the_file_has_no_token_and_the_same_password_looks_different(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    sessions = Sessions(path)
    tokens = [sessions.begin("anna", "secret word") for _ in range(2)]
    text = path.read_text()
    assert not any(word in text for word in (*tokens, "secret word"))
    assert len({entry["login"] for entry in json.loads(text).values()}) == 2
    assert path.stat().st_mode & 0o077 == 0


def test_sessions_expire_without_use_and_use_keeps_them(tmp_path: Path) -> None:
    path, now = tmp_path / "sessions.json", [1e9]
    sessions = Sessions(path, lambda: now[0])
    used, unused = (sessions.begin("anna", "x") for _ in range(2))
    for _ in range(2):
        now[0] += 10 * DAY
        assert sessions.name(used) == "anna"
    assert sessions.name(unused) is None
    # The moments of use are in the file too.
    assert Sessions(path, lambda: now[0]).name(used) == "anna"


def test_the_number_of_sessions_is_bounded_and_the_oldest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.api.sessions._MOST", 3)
    path = tmp_path / "sessions.json"
    sessions = Sessions(path)
    first, *others = (sessions.begin("anna", "x") for _ in range(4))
    for known in (sessions, Sessions(path)):
        assert known.name(first) is None
        assert all(known.name(token) == "anna" for token in others)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"name": "b", "used": "c"}}', "\0"])
def test_a_damaged_file_ends_all_sessions_and_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(content)
    sessions = Sessions(path)
    assert sessions.name("a") is None
    token = sessions.begin("anna", "x")
    assert Sessions(path).name(token) == "anna"


def test_sessions_work_where_the_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sessions = Sessions(tmp_path / "file" / "sessions.json")
    assert sessions.name(sessions.begin("anna", "x")) == "anna"
