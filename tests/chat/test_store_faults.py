"""The chats' file when the process is killed, the disk is full, or the file is damaged."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.chat_reader import read_chat_file
from modules.chat.chat_transfer import add_chats
from modules.chat.database import StorageError
from modules.chat.folders import Folders
from modules.chat.layouts import LAYOUTS
from modules.chat.store import ChatStore

ROOT = Path(__file__).resolve().parents[2]

# Writes a reply as the saver does, and says after each write how long the stored text is.
WRITER = """
import sys
from pathlib import Path
from modules.chat.store import ChatStore
store = ChatStore(Path(sys.argv[1]))
chat = store.create_chat().id
asked = store.add(chat, None, "user", "question")
reply = store.add(chat, asked, "assistant", "", {"model": "m"}, living=True)
print(chat, flush=True)
text = ""
while True:
    text += "word " * 50
    store.write(reply, text, {"model": "m"}, living=True)
    print(len(text), flush=True)
"""


def fill_disk(store: ChatStore) -> None:
    """Make the disk appear full."""
    connection = store.database.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.mark.parametrize("writes", [1, 7, 40])
def test_a_kill_in_mid_write_loses_at_most_the_last_flush(tmp_path: Path, writes: int) -> None:
    path = tmp_path / "chats.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        chat = host.stdout.readline().strip()
        stored = [int(host.stdout.readline()) for _ in range(writes)][-1]
        host.send_signal(signal.SIGKILL)
        stored = max([stored, *(int(line) for line in host.stdout if line.strip())])
    store = ChatStore(path)
    assert store.cut_off == 1 and store.notice == ""
    asked, reply = store.path(chat)
    assert asked.text == "question"
    assert len(reply.text) in (stored, stored + 250), "the write under way may or may not have happened"
    assert reply.meta == {"model": "m", "cut_off": True}
    store.close()
    again = ChatStore(path)
    assert again.cut_off == 0
    again.close()


def test_a_full_disk_is_an_error_and_old_messages_stay(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite3")
    chat = store.create_chat("Kept").id
    asked = store.add(chat, None, "user", "question")
    fill_disk(store)
    with pytest.raises(StorageError, match="full.*Free some space"):
        store.add(chat, asked, "assistant", "long " * 5000)
    with pytest.raises(StorageError, match="full"):
        store.write(asked, "long " * 5000, {}, living=False)
    assert [message.text for message in store.path(chat)] == ["question"]
    store.database.connection.execute("PRAGMA max_page_count = 1000000")
    store.add(chat, asked, "assistant", "long " * 5000)
    assert len(store.path(chat)) == 2
    store.close()


def test_a_file_that_is_no_database_is_moved_aside_with_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    path.write_bytes(b"this was a chat once " * 500)
    store = ChatStore(path)
    (aside,) = tmp_path.glob("chats-damaged-*.sqlite3")
    assert aside.name in store.notice and "damaged" in store.notice
    assert aside.read_bytes() == b"this was a chat once " * 500
    store.create_chat("New")
    assert [head.title for head in store.heads()] == ["New"]
    store.close()


def test_of_a_database_with_broken_pages_all_that_can_be_read_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = ChatStore(path)
    chats = [store.create_chat(f"chat {number}").id for number in range(3)]
    for chat in chats:
        last = None
        for number in range(100):
            last = store.add(chat, last, "user", f"{number} " * 100, {"number": number})
        store.add(chat, store.path(chat)[10].id, "user", "another way")
        store.switch(chat, store.path(chat)[11].id, 1)
    paths = {chat: store.path(chat) for chat in chats}
    store.close()
    content = bytearray(path.read_bytes())
    names = [paths[chats[1]][50].id.encode(), chats[1].encode()]
    leaf = 13  # Of a table; the page of the messages alone holds both names.
    damaged = [
        start
        for start in range(0, len(content), 4096)
        if content[start] == leaf and all(name in content[start : start + 4096] for name in names)
    ]
    assert damaged
    for start in damaged:
        content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    store = ChatStore(path)
    (aside,) = tmp_path.glob("chats-damaged-*.sqlite3")
    assert aside.read_bytes() == bytes(content) and "3 chats with" in store.notice
    assert {head.id: head.title for head in store.heads()} == {chat: f"chat {n}" for n, chat in enumerate(chats)}
    assert store.path(chats[0]) == paths[chats[0]], "a chat away from the damage is whole, with what was shown"
    kept = {entry["id"] for chat in chats for entry in store.tree(chat)}
    written = {message.id for path_ in paths.values() for message in path_}
    assert len(written & kept) > 0.8 * len(written)
    for chat in chats:
        shown = store.path(chat)
        assert shown
        for parent, child in zip([None, *shown], shown, strict=False):
            assert child.parent == (parent.id if parent else None)
    assert [row["integrity_check"] for row in store.database.rows("PRAGMA integrity_check")] == ["ok"]
    assert store.database.rows("PRAGMA foreign_key_check") == []
    store.close()


def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    ChatStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(LAYOUTS) + 1}")
    connection.close()
    with pytest.raises(StorageError, match="newer Paddock"):
        ChatStore(path)
    assert [found.name for found in tmp_path.glob("*damaged*")] == []


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chats.sqlite3"
    store = ChatStore(path)
    chat = store.create_chat("Old").id
    store.close()

    def colour(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE chats ADD COLUMN colour TEXT")

    def fail(connection: sqlite3.Connection) -> None:
        colour(connection)
        connection.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setattr("modules.chat.database.LAYOUTS", (*LAYOUTS, fail))
    with pytest.raises(StorageError, match="nowhere"):
        ChatStore(path)
    good = (*LAYOUTS, colour)
    monkeypatch.setattr("modules.chat.database.LAYOUTS", good)
    store = ChatStore(path)
    assert store.head(chat).title == "Old"
    assert store.database.rows("SELECT colour FROM chats")[0]["colour"] is None
    assert store.database.rows("PRAGMA user_version")[0][0] == len(good)
    store.close()


def test_another_program_that_holds_the_file_is_a_sentence_and_nothing_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.chat.database.BUSY_SECONDS", 0.05)
    path = tmp_path / "chats.sqlite3"
    store = ChatStore(path)
    chat = store.create_chat("Kept").id
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="Another program"):
        store.rename(chat, "New")
    other.execute("ROLLBACK")
    other.close()
    store.rename(chat, "New")
    assert store.head(chat).title == "New"
    store.close()
    assert list(tmp_path.glob("*damaged*")) == []


def test_a_closed_store_answers_with_a_sentence(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite3")
    store.close()
    store.close()
    with pytest.raises(StorageError, match="Paddock is ending"):
        store.heads()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be used"):
        ChatStore(tmp_path / "file" / "chats.sqlite3")


def test_a_change_inside_another_is_a_part_of_it(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite3")
    with store.database.change():
        kept = store.create_chat("Kept").id
        with pytest.raises(StorageError, match="not exist"), store.database.change():
            lost = store.create_chat("Lost").id
            store.add(lost, "no such message", "user", "Hi")
        store.add(kept, None, "user", "Hi")
    assert [(head.title, len(store.path(head.id))) for head in store.heads()] == [("Kept", 1)]
    with pytest.raises(KeyError), store.database.change():
        store.rename(kept, "Renamed")
        raise KeyError
    assert [head.title for head in store.heads()] == ["Kept"]
    store.close()


def test_an_import_adds_all_chats_of_a_file_or_none(tmp_path: Path) -> None:
    store, files = ChatStore(tmp_path / "chats.sqlite3"), AttachmentStore(tmp_path / "attachments")
    store.create_chat("Mine")
    export = [{"messages": [{"role": "user", "content": "Hi " * length}]} for length in (9, 50_000)]
    chats, _ = read_chat_file(json.dumps(export).encode(), 1.0)
    placed = [replace(chat, folder="Old", tags=("a",), pinned=True, created=5.0) for chat in chats]
    fill_disk(store)
    with pytest.raises(StorageError, match=r"^No chat of this file was imported\. The disk .* is full"):
        add_chats(store, files, placed)
    store.database.connection.execute("PRAGMA max_page_count = 1000000")
    assert [head.title for head in store.heads()] == ["Mine"]
    assert not Folders(store.database, lambda _: None).all()
    added = add_chats(store, files, placed)
    assert [(head.tags, head.pinned, bool(head.folder), head.created) for head in added] == [
        (("a",), True, True, 5.0)
    ] * 2
    store.close()
