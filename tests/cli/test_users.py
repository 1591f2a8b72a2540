"""`webui.py users …`, as a person and a script call it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from modules.settings.accounts import Accounts
from tests.support.commands import run_command

pytestmark = pytest.mark.slow


def _users(root: Path, data: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run_command(root, "users", "--user-data", str(data), *arguments, stdin=stdin)


def test_accounts_are_added_listed_changed_and_removed(root: Path, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "users.yaml", tmp_path / "users")
    added = _users(root, tmp_path, "add", "anna", "--role", "admin", stdin="correct horse\n")
    assert (added.returncode, "Everyone logs in now" in added.stdout) == (0, True)
    assert accounts.check("anna", "correct horse") is not None
    key = _users(root, tmp_path, "key", "anna").stdout.strip()
    assert accounts.by_key(key.encode()) == accounts.get("anna")
    listed = json.loads(_users(root, tmp_path, "list", "--json").stdout)
    assert listed == [{"name": "anna", "role": "admin", "keys": 1}]
    assert _users(root, tmp_path, "password", "anna", stdin="battery staple").returncode == 0
    assert accounts.check("anna", "battery staple") is not None
    assert "Removed 1 keys of anna." in _users(root, tmp_path, "key", "anna", "--remove").stdout
    assert _users(root, tmp_path, "remove", "anna").returncode == 0
    assert accounts.all() == {}


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["add", "Anna"], "correct horse\n", "cannot be an account's name"),
        (["add", "anna"], "short\n", "A password has 8 to 1024 characters"),
        (["add", "anna"], "", "A password has 8 to 1024 characters"),
        (["remove", "anna"], "", "There is no account named 'anna'"),
        (["password", "anna"], "correct horse\n", "There is no account named 'anna'"),
        (["key", "anna"], "", "There is no account named 'anna'"),
    ],
)
def test_what_is_wrong_is_a_sentence(root: Path, tmp_path: Path, arguments: list[str], stdin: str, words: str) -> None:
    answer = _users(root, tmp_path, *arguments, stdin=stdin)
    assert answer.returncode == 1 and words in answer.stderr
    assert not (tmp_path / "users.yaml").exists()
