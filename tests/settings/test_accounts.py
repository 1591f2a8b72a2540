"""The file of accounts: passwords and keys are kept as hashes only, and changes of another process count at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.protocol.errors import PaddockError
from modules.settings.accounts import Accounts


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """Return a file of accounts without any."""
    return Accounts(tmp_path / "users.yaml", tmp_path / "users")


def test_the_file_holds_no_password_and_no_key(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add("anna", "correct horse", "user")
    key = accounts.add_key("anna")
    text = (tmp_path / "users.yaml").read_text()
    assert "correct horse" not in text and key not in text and "$argon2id$" in text
    assert (tmp_path / "users.yaml").stat().st_mode & 0o077 == 0
    assert "argon2" not in repr(accounts.get("anna"))


def test_only_the_right_password_is_right(accounts: Accounts) -> None:
    accounts.add("anna", "correct horse", "user")
    accounts.add("bert", "battery staple", "admin")
    found = accounts.check("anna", "correct horse")
    assert found is not None and (found.name, found.is_admin) == ("anna", False)
    for name, password in (
        ("anna", "battery staple"),
        ("anna", ""),
        ("nobody", "correct horse"),
        ("ANNA", "x" * 10**6),
    ):
        assert accounts.check(name, password) is None


def test_a_key_belongs_to_its_account_until_it_is_removed(accounts: Accounts) -> None:
    accounts.add("anna", "correct horse", "user")
    keys = [accounts.add_key("anna") for _ in range(2)]
    assert len(set(keys)) == 2
    for key in keys:
        found = accounts.by_key(key.encode())
        assert found is not None and found.name == "anna"
    assert accounts.by_key(b"") is None and accounts.by_key(keys[0][:-1].encode()) is None
    assert accounts.remove_keys("anna") == 2
    assert accounts.by_key(keys[0].encode()) is None


def test_changes_of_another_process_count_at_once(accounts: Accounts, tmp_path: Path) -> None:
    other = Accounts(tmp_path / "users.yaml", tmp_path / "users")
    assert accounts.all() == {}
    other.add("anna", "correct horse", "user")
    assert list(accounts.all()) == ["anna"]
    other.set_password("anna", "battery staple")
    assert accounts.check("anna", "correct horse") is None
    other.remove("anna")
    assert accounts.all() == {} and not (tmp_path / "users.yaml").exists()


def test_a_later_account_of_the_same_name_finds_no_data_of_the_earlier_one(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add("anna", "correct horse", "user")
    first = accounts.get("anna")
    (tmp_path / "users" / "anna").mkdir(parents=True)
    (tmp_path / "users" / "anna" / "notebook.txt").write_text("secret")
    accounts.remove("anna")
    accounts.add("anna", "correct horse", "user")
    assert accounts.get("anna").id != first.id
    assert not (tmp_path / "users" / "anna").exists()
    assert [path.read_text() for path in (tmp_path / "users").glob(".removed-anna-*/notebook.txt")] == ["secret"]


@pytest.mark.parametrize("name", ["", "Anna", "a b", "../x", "a/b", "con.x", ".hidden", "paddock", "a" * 33, "ä", "-a"])
def test_a_name_is_a_plain_word(accounts: Accounts, name: str) -> None:
    with pytest.raises(PaddockError, match="cannot be an account's name"):
        accounts.add(name, "correct horse", "user")


def test_what_cannot_be_done_is_a_sentence(accounts: Accounts) -> None:
    accounts.add("anna", "correct horse", "user")
    with pytest.raises(PaddockError, match="already"):
        accounts.add("anna", "correct horse", "user")
    with pytest.raises(PaddockError, match="The accounts are: anna"):
        accounts.remove("bert")
    with pytest.raises(PaddockError, match="8 to 1024 characters"):
        accounts.set_password("anna", "short")
    with pytest.raises(PaddockError, match="The roles are: admin, user"):
        accounts.add("bert", "correct horse", "root")


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "anna: word",
        "anna: {role: root, id: x, password: y}",
        "anna: {role: user, id: x, password: 5}",
        "anna: {role: user, id: x, password: y, keys: word}",
        "../x: {role: user, id: x, password: y}",
        "paddock: {role: user, id: x, password: y}",
        "{",
    ],
)
def test_a_wrong_file_is_a_sentence_and_lets_nobody_in(accounts: Accounts, tmp_path: Path, text: str) -> None:
    (tmp_path / "users.yaml").write_text(text)
    for look in (accounts.all, lambda: accounts.check("anna", "y"), lambda: accounts.by_key(b"x")):
        with pytest.raises(PaddockError, match="users.yaml"):
            look()
