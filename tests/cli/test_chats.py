"""`webui.py chats`: list, export and import, beside a Paddock that writes a reply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.chat.store import ChatStore
from modules.cli.parser import run
from tests.conftest import ROOT


@pytest.fixture
def store(tmp_path: Path) -> ChatStore:
    """Return the open store of a Paddock, with one chat whose reply is being written."""
    store = ChatStore(tmp_path / "user_data" / "chats.sqlite3")
    chat = store.create_chat("Herons / wade").id
    question = store.add(chat, None, "user", "Where?")
    store.add(chat, question, "assistant", "In the", living=True)
    return store


def chats(tmp_path: Path, *arguments: str) -> int:
    """Run the command with the data folder of the test."""
    return run(ROOT, ["chats", *arguments, "--user-data", str(tmp_path / "user_data")])


def test_chats_are_exported_while_a_reply_is_written(
    store: ChatStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chats(tmp_path, "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["title"] == "Herons / wade"
    assert chats(tmp_path, "export", "--chat", row["id"], "--format", "markdown", str(tmp_path / "one.md")) == 0
    assert (tmp_path / "one.md").read_text("utf-8") == "# Herons / wade\n\n## You\n\nWhere?\n\n## AI\n\nIn the\n"
    rows = store.database.rows("SELECT living, meta FROM messages WHERE living")
    assert [row["meta"] for row in rows] == ["{}"], "the reply of the running Paddock was cut off"


def test_all_chats_are_exported_and_imported_again(
    store: ChatStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.create_chat("Herons / wade")
    out = tmp_path / "out"
    assert chats(tmp_path, "export", str(out)) == 0
    files = sorted(out.iterdir())
    assert [file.name for file in files] == ["Herons _ wade 2.json", "Herons _ wade.json"]
    capsys.readouterr()
    assert chats(tmp_path, "import", *map(str, files)) == 1
    found = capsys.readouterr()
    assert "Herons _ wade 2.json: 1 chat imported." in found.out
    assert "Herons _ wade.json: This file has no messages." in found.err
    assert [entry.text for entry in store.path(store.heads()[0].id)] == ["Where?", "In the"]


def test_no_file_is_overwritten(store: ChatStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.html"
    kept.write_text("mine")
    assert chats(tmp_path, "export", "--chat", "herons / WADE", "--format", "html", str(kept)) == 1
    assert "is not overwritten" in capsys.readouterr().err
    assert chats(tmp_path, "export", str(kept)) == 1
    assert kept.read_text() == "mine"


def test_a_chat_that_does_not_exist_gets_a_sentence(
    store: ChatStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chats(tmp_path, "export", "--chat", "nothing", str(tmp_path / "x.json")) == 1
    assert "There is no chat with the id or title 'nothing'" in capsys.readouterr().err
    assert chats(tmp_path, "import", str(tmp_path / "missing.json")) == 1
    assert "cannot be read" in capsys.readouterr().err
