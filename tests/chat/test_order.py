"""Order among chats in the store: folders, pins, tags, trash, copies, temporary chats, search and ratings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.chat.chat_organizer import ChatOrganizer
from modules.chat.chat_search import excerpt, find_messages
from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.folders import Folders
from modules.chat.import_export import known_settings
from modules.chat.messages import ChatHead
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError
from modules.ui.order.chat_list import distinct_titles

HTML = "<img src=x onerror=alert(1)>"


class Chats:
    """A store with what orders its chats."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed: list[str] = []
        self.store = ChatStore(path)
        self.order = ChatOrganizer(self.store, self.changed.append)
        self.folders = Folders(self.store.database, self.changed.append)
        self.settings = ChatSettings(self.store.database)

    def talk(self, *texts: str, temporary: bool = False) -> str:
        """Return the id of a chat with these messages, of the user and of the model in turn."""
        chat = self.store.create_chat(texts[0] if texts else "", temporary=temporary).id
        parent = None
        for place, text in enumerate(texts):
            parent = self.store.add(chat, parent, "assistant" if place % 2 else "user", text)
        return chat


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[Chats]:
    """Return an empty store."""
    made = Chats(tmp_path / "chats.sqlite3")
    yield made
    made.store.close()


def test_a_chat_is_pinned_archived_and_tagged(chats: Chats) -> None:
    chat = chats.talk("hello")
    chats.order.pin(chat, True)
    chats.order.archive(chat, True)
    chats.order.tag(chat, [" #Work ", "work", HTML, "", "two  words"])
    head = chats.store.head(chat)
    assert (head.pinned, head.archived, head.tags) == (True, True, ("Work", HTML, "two words"))
    assert [one.id for one in chats.store.heads("two words")] == [chat]
    chats.order.pin(chat, False)
    chats.order.archive(chat, False)
    chats.order.tag(chat, [])
    head = chats.store.head(chat)
    assert (head.pinned, head.archived, head.tags) == (False, False, ())
    with pytest.raises(PaddockError, match="at most 20"):
        chats.order.tag(chat, [str(number) for number in range(21)])


def test_a_folder_holds_chats_and_its_end_does_not_end_them(chats: Chats) -> None:
    chat = chats.talk("hello")
    folder = chats.folders.create("  Work <b>  ")
    assert folder.name == "Work <b>"
    with pytest.raises(PaddockError, match="already"):
        chats.folders.create("work <B>")
    with pytest.raises(PaddockError, match="needs a name"):
        chats.folders.create("  ")
    chats.folders.move(chat, folder.id)
    chats.folders.change(folder.id, {"system": "Be brief.", "knowledge": ["docs"]})
    chats.folders.change(folder.id, {"knowledge": None})
    of_chat = chats.folders.of_chat(chat)
    assert of_chat is not None and of_chat.settings == {"system": "Be brief."}
    chats.folders.rename(folder.id, "Play")
    assert [one.name for one in chats.folders.all()] == ["Play"]
    chats.folders.delete(folder.id)
    assert chats.store.head(chat).folder == "" and chats.folders.of_chat(chat) is None
    with pytest.raises(PaddockError, match="Reload"):
        chats.folders.move(chat, folder.id)


def test_only_a_chat_in_the_trash_is_deleted_for_ever_and_nothing_of_it_is_left(chats: Chats) -> None:
    secret = "walrus-secret-91"
    chat, other = chats.talk(secret, f"{secret} again"), chats.talk("stays")
    chats.order.tag(chat, ["gone"])
    with pytest.raises(PaddockError, match="in the trash"):
        chats.order.purge(chat)
    chats.store.set_trash(chat, True)
    chats.order.purge(chat)
    assert [head.id for head in chats.store.heads()] == [other] and chats.store.heads(trash=True) == []
    chats.store.close()
    assert secret.encode() not in chats.path.read_bytes()
    assert not list(sqlite3.connect(chats.path).execute("SELECT * FROM tags"))


def test_a_duplicate_has_all_versions_and_settings_and_ids_in_them_follow(chats: Chats) -> None:
    chat = chats.talk("question", "answer")
    question, answer = chats.store.path(chat)
    chats.store.add(chat, question.id, "assistant", "another answer")
    chats.settings.change(chat, {"system": "x", "summary": {"text": "short", "upto": answer.id}})
    chats.order.tag(chat, ["a"])
    chats.folders.move(chat, chats.folders.create("Work").id)
    copy = chats.order.duplicate(chat)
    assert copy.title == "question (copy)"
    assert (copy.folder, copy.tags) == (chats.store.head(chat).folder, ("a",))
    tree = chats.store.tree(copy.id)
    assert [entry["parts"][0]["text"] for entry in tree] == ["question", "answer", "another answer"]
    assert chats.settings.get(copy.id) == {"system": "x", "summary": {"text": "short", "upto": tree[1]["id"]}}
    branch = chats.store.branch(chat, chats.store.path(chat)[:1], "b", "")
    assert chats.settings.get(branch.id)["system"] == "x" and branch.tags == ("a",)


def test_a_temporary_chat_never_reaches_the_disk(chats: Chats, tmp_path: Path) -> None:
    secret = "walrus-secret-92"
    chat = chats.talk(secret, "yes", temporary=True)
    chats.settings.change(chat, {"system": secret})
    head = chats.store.head(chat)
    assert head.temporary and [one.id for one in chats.store.heads(secret)] == [chat]
    assert [message.text for message in chats.store.path(chat)] == [secret, "yes"]
    copy = chats.order.duplicate(chat)
    branch = chats.store.branch(chat, chats.store.path(chat), "b", "")
    assert copy.temporary and branch.temporary
    with pytest.raises(StorageError, match="Keep it first"):
        chats.folders.move(chat, chats.folders.create("Work").id)
    chats.order.purge(chat)
    assert {one.id for one in chats.store.heads()} == {copy.id, branch.id}
    chats.store.close()
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes(), file
    again = ChatStore(chats.path)
    assert again.heads() == []
    again.close()


def test_a_temporary_chat_that_is_kept_is_stored_with_all_it_has(chats: Chats) -> None:
    chat = chats.talk("hello", "hi", temporary=True)
    chats.settings.change(chat, {"system": "x"})
    kept = chats.order.keep(chat)
    assert not kept.temporary and [one.id for one in chats.store.heads()] == [kept.id]
    assert [message.text for message in chats.store.path(kept.id)] == ["hello", "hi"]
    assert chats.settings.get(kept.id) == {"system": "x"}


def test_a_search_finds_messages_and_shows_the_branch_with_them(chats: Chats) -> None:
    chat = chats.talk("Do walruses swim?", "Yes, walruses swim well.")
    question = chats.store.path(chat)[0]
    hidden = chats.store.path(chat)[1].id
    chats.store.add(chat, question.id, "assistant", "They do not.")
    hits = find_messages(chats.store, [chat], "WALRUSES well")
    assert hits[0].message == hidden and hits[0].excerpt == "Yes, walruses swim well."
    assert [message.text for message in chats.store.path(chat)][-1] == "They do not."
    chats.order.reveal(chat, hidden)
    assert chats.store.path(chat)[-1].id == hidden
    chats.store.delete(chat, hidden)
    with pytest.raises(StorageError, match="deleted"):
        chats.order.reveal(chat, hidden)
    assert find_messages(chats.store, [chat], "  ") == []
    assert find_messages(chats.store, [chat], "100%_") == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("short text", "short text"),
        ("a " * 100 + "needle" + " b" * 100, "needle"),
        ("İ" * 60 + " needle", "needle"),
        ("no such word", "no such word"),
    ],
    ids=["short", "long", "folded", "missing"],
)
def test_an_excerpt_shows_the_word_on_one_line(text: str, found: str) -> None:
    shown = excerpt(text, ["needle"])
    assert found in shown and len(shown) < 160 and "\n" not in shown


def test_titles_that_repeat_are_told_apart_and_keep_their_number() -> None:
    titles = ["hello", "other", "hello", "hello (2)", "hello"]
    heads = [ChatHead(str(place), title, 100 - place, created=place) for place, title in enumerate(titles)]
    labels = distinct_titles(list(reversed(heads)))
    assert [labels[head.id] for head in heads] == ["hello", "other", "hello (3)", "hello (2)", "hello (4)"]
    assert len(set(labels.values())) == len(heads)


def test_a_reply_is_rated_and_a_question_is_not(chats: Chats) -> None:
    chat = chats.talk("question", "answer")
    question, answer = chats.store.path(chat)
    chats.order.rate(chat, answer.id, 1)
    assert chats.store.path(chat)[1].meta == {"rating": 1}
    chats.order.rate(chat, answer.id, 0)
    assert chats.store.path(chat)[1].meta == {}
    for message, rating in ((question.id, 1), ("nothing", 1), (answer.id, 5)):
        with pytest.raises(PaddockError):
            chats.order.rate(chat, message, rating)


def test_settings_of_a_file_are_checked() -> None:
    wanted: dict[str, Any] = {"system": "x", "tools": ["a"], "parameters": {"top_k": 3}, "later": [1]}
    wrong = {"model": 5, "note": "text", "knowledge": {"a": 1}, "persona": None, "long": "x" * 300_000}
    assert known_settings(json.loads(json.dumps({**wanted, **wrong}))) == wanted
    assert known_settings("nonsense") == {}
