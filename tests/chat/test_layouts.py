"""The database of an earlier layout is migrated, after it was copied."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modules.chat import database
from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.layouts import LAYOUTS
from modules.chat.messages import prompt_text
from modules.chat.parts import REASONING, TEXT
from modules.chat.store import ChatStore

# Written by the Paddock before parts: layout 1.
FIRST = Path(__file__).resolve().parent.parent / "data" / "chats_layout_1.sqlite3"
# Written by the Paddock before settings of chats: layout 2.
SECOND = FIRST.with_name("chats_layout_2.sqlite3")
HARMONY = "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(FIRST, tmp_path / "chats.sqlite3"))


def _texts(path: Path) -> dict[str, str]:
    """Return message id -> text of a file of the first layout."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT id, text FROM messages").fetchall())


def test_every_message_of_the_first_layout_becomes_parts_and_stays_whole(path: Path) -> None:
    before = _texts(path)
    store = ChatStore(path)
    heads = {head.title: head.id for head in [*store.heads(), *store.heads(trash=True)]}
    assert set(heads) == {"A chat with thinking", "New chat", "In the trash", "Killed"}
    asked, reply, again, last = store.path(heads["A chat with thinking"])
    assert [part.kind for part in reply.parts] == [REASONING, TEXT]
    assert (reply.text, reply.parts[0].text) == ("It is **4**.", "\nTwo and two.\nFour.\n")
    assert (reply.version, reply.versions, reply.meta["generated_tokens"]) == (1, 3, 12)
    assert [part.kind for part in (*asked.parts, *last.parts)] == [TEXT, TEXT]
    assert (again.text, prompt_text(again)) == ('And "3" 🐴 + 3?', "And 3 + 3?")
    for title in heads:
        for entry in store.tree(heads[title]):
            raw = "".join(
                f"{part.get('meta', {}).get('before', '')}{part['text']}{part.get('meta', {}).get('after', '')}"
                for part in entry["parts"]
            )
            assert raw == before.pop(entry["id"])
    assert not before
    store.switch(heads["A chat with thinking"], reply.id, 3)
    harmony = store.path(heads["A chat with thinking"])[-1]
    assert (harmony.text, harmony.raw) == ("4", HARMONY)
    assert store.cut_off == 1
    store.close()


def test_the_earlier_file_is_kept_and_the_migration_happens_once(path: Path) -> None:
    before = _texts(path)
    ChatStore(path).close()
    (copy,) = path.parent.glob("chats-layout-1*.sqlite3")
    assert _texts(copy) == before
    assert copy.stat().st_mode & 0o077 == 0
    ChatStore(path).close()
    assert list(path.parent.glob("chats-layout-*")) == [copy]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(LAYOUTS)
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()


def test_a_new_file_has_the_tables_and_indexes_of_a_migrated_one(path: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh" / "chats.sqlite3"
    found = []
    for file in (path, fresh):
        ChatStore(file).close()
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
            found.append([row for row in rows if not row[1].startswith("sqlite_")])
    assert found[0] == found[1]


def test_without_a_copy_nothing_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _texts(path)

    def full(*_: object) -> Path:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "back_up", full)
    with pytest.raises(StorageError, match="full"):
        ChatStore(path)
    assert _texts(path) == before


def test_messages_of_a_damaged_file_of_the_first_layout_are_recovered_as_parts(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages_by_parent'").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    store = ChatStore(path)
    assert "damaged" in store.notice
    messages = [message for head in store.heads() for message in store.path(head.id)]
    assert messages
    assert all(message.parts for message in messages)
    store.close()


def test_chats_of_the_second_layout_get_empty_settings_and_keep_all(tmp_path: Path) -> None:
    path = Path(shutil.copy(SECOND, tmp_path / "chats.sqlite3"))
    store = ChatStore(path)
    titles = [head.title for head in store.heads()]
    assert (titles, [head.title for head in store.heads(trash=True)]) == (["New chat", "Old order"], ["Away"])
    (chat,) = (head for head in store.heads() if head.title == "Old order")
    assert [message.text for message in store.path(chat.id)] == ["How many?", "Three."]
    assert (chat.character, ChatSettings(store.database).get(chat.id)) == ("Assistant", {})
    store.close()
    assert len(list(tmp_path.glob("chats-layout-2*.sqlite3"))) == 1


def test_recovery_keeps_settings_folders_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = ChatStore(path)
    chat = store.create_chat("Kept")
    lost = store.create_chat("Its folder is lost")
    store.add(chat.id, None, "user", "Hello")
    ChatSettings(store.database).change(chat.id, {"system": "Be short."})
    with store.database.change() as connection:
        connection.execute("INSERT INTO folders (id, name, settings, created) VALUES ('f', 'Work', '{broken', 1)")
        connection.execute("UPDATE chats SET folder = 'f', pinned = 3 WHERE id = ?", (chat.id,))
        connection.execute("INSERT INTO tags (chat, tag) VALUES (?, 'red')", (chat.id,))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE chats SET folder = 'gone' WHERE id = ?", (lost.id,))
        connection.commit()
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages_living'").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    store = ChatStore(path)
    assert "damaged" in store.notice
    assert {head.title for head in store.heads()} == {"Kept", "Its folder is lost"}
    assert ChatSettings(store.database).get(chat.id) == {"system": "Be short."}
    (row,) = store.database.rows("SELECT folder, pinned FROM chats WHERE id = ?", (chat.id,))
    assert tuple(row) == ("f", 3)
    assert [tuple(row) for row in store.database.rows("SELECT name, settings FROM folders")] == [("Work", "{}")]
    assert [tuple(row) for row in store.database.rows("SELECT chat, tag FROM tags")] == [(chat.id, "red")]
    store.close()
