"""The tree of messages: what is shown, what is kept, in one thread and in several."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modules.chat.database import StorageError
from modules.chat.store import ChatStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChatStore]:
    store = ChatStore(tmp_path / "chats.sqlite3")
    yield store
    store.close()


def texts(store: ChatStore, chat_id: str) -> list[str]:
    return [message.text for message in store.path(chat_id)]


@dataclass
class Node:
    """The same tree, kept naively in memory."""

    id: str
    text: str
    parent: Node | None
    children: list[Node] = field(default_factory=list)
    deleted: bool = False
    shown: Node | None = None

    def versions(self) -> list[Node]:
        return [child for child in self.children if not child.deleted]

    def path(self) -> list[Node]:
        return [self.shown, *self.shown.path()] if self.shown else []

    def all(self) -> list[Node]:
        return [node for child in self.children for node in (child, *child.all())]


def check(store: ChatStore, chat_id: str, root: Node) -> None:
    expected, found = root.path(), store.path(chat_id)
    assert [(message.id, message.text) for message in found] == [(node.id, node.text) for node in expected]
    for message, node in zip(found, expected, strict=True):
        assert node.parent is not None
        assert message.parent == (node.parent.id or None)
        versions = node.parent.versions()
        assert (message.version, message.versions) == (versions.index(node) + 1, len(versions))
    for node in [root, *root.all()]:
        assert (node.shown is None) == (not node.versions()), "the invariant of the naive model itself"


@pytest.mark.parametrize("seed", range(6))
def test_many_random_changes_leave_the_same_tree_as_a_naive_model(store: ChatStore, seed: int) -> None:
    chance = random.Random(seed)
    heads = [store.create_chat(f"chat {number}") for number in range(2)]
    roots = {head.id: Node("", "", None) for head in heads}
    for step in range(250):
        chat_id = chance.choice(heads).id
        root = roots[chat_id]
        nodes = root.all()
        action = chance.choice(("add", "add", "add", "delete", "undelete", "switch", "write", "edit"))
        if action == "add" or not nodes:
            end = chance.choice([root, *nodes, *root.path()[-1:] * 4])
            new = Node(store.add(chat_id, end.id or None, "user", f"{step}"), f"{step}", end)
            end.children.append(new)
            end.shown = new
        elif action == "delete":
            node = chance.choice(nodes)
            store.delete(chat_id, node.id)
            parent = node.parent
            assert parent is not None
            before = parent.versions()
            node.deleted = True
            if parent.shown is node:
                place = before.index(node)
                others = before[:place][-1:] or before[place + 1 :][:1]
                parent.shown = others[0] if others else None
        elif action == "undelete":
            node = chance.choice(nodes)
            store.undelete(chat_id, node.id)
            node.deleted = False
            assert node.parent is not None
            node.parent.shown = node
        elif action == "switch":
            node = chance.choice(nodes)
            assert node.parent is not None
            versions = node.parent.versions()
            if versions:
                number = chance.randrange(len(versions)) + 1
                assert store.switch(chat_id, node.id, number) == versions[number - 1].id
                node.parent.shown = versions[number - 1]
        elif action == "write":
            node = chance.choice(nodes)
            node.text = f"written {step}"
            store.write(node.id, node.text, {}, living=False)
        elif root.path():
            path = store.path(chat_id)
            place = chance.randrange(len(path))
            old = root.path()[place]
            assert old.parent is not None
            first = store.add(chat_id, path[place].parent, "user", f"edit {step}", below=path[place + 1 :])
            fresh = Node(first, f"edit {step}", old.parent)
            old.parent.children.append(fresh)
            old.parent.shown = fresh
            for message, source in zip(store.path(chat_id)[place + 1 :], path[place + 1 :], strict=True):
                copy = Node(message.id, source.text, fresh)
                fresh.children.append(copy)
                fresh.shown = copy
                fresh = copy
        for head in heads:
            check(store, head.id, roots[head.id])
    for head in heads:
        kept = {entry["id"] for entry in store.tree(head.id)}
        assert kept == {node.id for node in roots[head.id].all()}, "nothing ever leaves the tree"


def test_switching_back_shows_the_branch_that_was_last_seen_below(store: ChatStore) -> None:
    chat = store.create_chat().id
    asked = store.add(chat, None, "user", "question")
    first = store.add(chat, asked, "assistant", "one")
    more = store.add(chat, first, "user", "more")
    store.add(chat, more, "assistant", "deep")
    second = store.add(chat, asked, "assistant", "two")
    assert texts(store, chat) == ["question", "two"]
    store.switch(chat, second, 1)
    assert texts(store, chat) == ["question", "one", "more", "deep"]
    with pytest.raises(StorageError, match="no version 3; this message has 2"):
        store.switch(chat, second, 3)


def test_a_change_that_fails_leaves_nothing_behind(store: ChatStore) -> None:
    chat, other = store.create_chat().id, store.create_chat().id
    asked = store.add(chat, None, "user", "question")
    for act in (
        lambda: store.add(other, asked, "user", "x"),
        lambda: store.delete(other, asked),
        lambda: store.ancestors(other, asked),
    ):
        with pytest.raises(StorageError, match="Reload the page"):
            act()
    assert texts(store, other) == [] and texts(store, chat) == ["question"]
    with pytest.raises(StorageError, match="does not exist any more"):
        store.head("nope")


def test_search_finds_every_word_in_title_or_messages_without_regard_to_case(store: ChatStore) -> None:
    chat = store.create_chat("Über Straßen").id
    store.add(chat, None, "user", "How much is 100% of A_B?")
    other = store.create_chat("Other").id
    gone = store.add(other, None, "user", "deleted words")
    store.delete(other, gone)
    for query, found in {
        "über": [chat],
        "STRASSEN much": [chat],
        "100% a_b": [chat],
        "1%0": [],
        "axb": [],
        "deleted": [],
        "": [other, chat],
    }.items():
        assert {head.id for head in store.heads(query)} == set(found), query


def test_a_deleted_chat_is_listed_in_the_trash_and_restored(store: ChatStore) -> None:
    chat = store.create_chat("Kept").id
    store.add(chat, None, "user", "words")
    store.set_trash(chat, True)
    assert store.heads() == [] and [head.id for head in store.heads(trash=True)] == [chat]
    store.set_trash(chat, False)
    assert [head.id for head in store.heads()] == [chat] and texts(store, chat) == ["words"]


def test_the_latest_chat_comes_first_and_a_title_is_given_once(tmp_path: Path) -> None:
    now = [0.0]
    store = ChatStore(tmp_path / "timed.sqlite3", clock=lambda: now[0])
    first, second = store.create_chat().id, store.create_chat().id
    now[0] = 5.0
    store.add(first, None, "user", "news")
    assert [(head.id, head.updated) for head in store.heads()] == [(first, 5.0), (second, 0.0)]
    store.suggest_title(first, "Auto")
    store.suggest_title(first, "Auto again")
    assert store.head(first).title == "Auto" and store.head(second).title == "New chat"
    store.close()


def test_text_of_any_kind_is_stored_unchanged(store: ChatStore) -> None:
    chat = store.create_chat().id
    text = "\x00 'quotes\" ; DROP TABLE chats; -- 😀\u202e\r\n\t"
    store.add(chat, None, "user", text, {"notes": ["ä"]})
    store.add(chat, None, "user", "half \ud83d")
    (message,) = store.path(chat)
    assert message.text == "half ?"
    store.switch(chat, message.id, 1)
    (message,) = store.path(chat)
    assert message.text == text and message.meta == {"notes": ["ä"]}


def test_two_threads_and_two_connections_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    stores = [ChatStore(path), ChatStore(path)]
    chat = stores[0].create_chat().id
    faults: list[BaseException] = []

    def write(store: ChatStore, name: str) -> None:
        try:
            for number in range(40):
                message = store.add(chat, None, "user", f"{name}{number}")
                store.write(message, f"{name}{number}!", {}, living=False)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(stores[place % 2], f"t{place}-")) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    kept = {part["text"] for entry in stores[1].tree(chat) for part in entry["parts"]}
    assert kept == {f"t{place}-{number}!" for place in range(4) for number in range(40)}
    (shown,) = stores[0].path(chat)
    assert shown.versions == 160
    for store in stores:
        store.close()


def test_reading_a_long_path_is_fast(store: ChatStore) -> None:
    chat, last = store.create_chat().id, None
    for number in range(400):
        last = store.add(chat, last, "user" if number % 2 == 0 else "assistant", "words " * 50)
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    store.database.connection.set_progress_handler(count, 1000)
    assert len(store.path(chat)) == 400
    store.database.connection.set_progress_handler(None, 0)
    assert steps[0] < 200, f"{steps[0]} thousand steps of SQLite's machine: an index is not used"
