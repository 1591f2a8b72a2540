"""Passages of the knowledge in prompts: numbered, within their share, before the question, kept with the reply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.chat.chat_knowledge import ChatKnowledge
from modules.chat.chat_settings import ChatSettings
from modules.chat.folders import Folders
from modules.chat.knowledge.index_database import StoredPassage
from modules.chat.knowledge_prompt import KnowledgePrompt
from modules.chat.messages import Message
from modules.chat.parts import IMAGE, TEXT, Part, plain, visible_text
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError
from modules.settings.preferences import Preferences
from modules.settings.user_settings import YamlStore


class _Knowledge:
    """Stands for the knowledge: it finds what it was given, and notes what it was asked."""

    def __init__(self, found: list[StoredPassage], notes: list[str] | None = None) -> None:
        self.found, self.notes, self.asked = found, notes or [], ""

    def prepare(self, names: object, seconds: float) -> list[str]:
        return []

    def search(self, names: object, question: str, most: int) -> tuple[list[StoredPassage], list[str]]:
        self.asked = question
        return self.found[:most], list(self.notes)


def _passage(number: int, text: str = "Herons wait.", page: int = 0) -> StoredPassage:
    return StoredPassage(number, "Birds", 7, f"{number}.md", 10, 22, page, 3, text)


def _message(role: str, text: str, **meta: Any) -> Message:
    return Message(text, None, role, plain(text), 0.0, meta=meta)


def _prompt(knowledge: _Knowledge) -> KnowledgePrompt:
    return KnowledgePrompt(knowledge, lambda text: len(text.split()))  # type: ignore[arg-type]


def test_passages_are_numbered_before_the_last_question_and_kept() -> None:
    found = _prompt(_Knowledge([_passage(1), _passage(2, page=4)])).find(
        ["Birds"], [_message("user", "What do herons do all day?")], 4096
    )
    path = [_message("user", "first"), _message("assistant", "yes"), _message("user", "What do they do?")]
    text = visible_text(found.put_into(path)[-1].parts)
    assert "[1] 1.md, line 3:\nHerons wait.\n\n[2] 2.md, page 4:\nHerons wait." in text
    assert text.endswith("\n\nWhat do they do?")
    assert found.put_into(path)[0] == path[0]
    assert [(one["number"], one["name"], one["page"], one["text"]) for one in found.cited] == [
        (1, "1.md", 0, "Herons wait."),
        (2, "2.md", 4, "Herons wait."),
    ]


def test_an_image_and_what_a_hook_wrote_stay_with_the_question() -> None:
    found = _prompt(_Knowledge([_passage(1)])).find(["Birds"], [_message("user", "What do herons do?")], 4096)
    image = Part(IMAGE, "a.png", {"path": "/a.png"})
    message = Message("1", None, "user", (image, Part(TEXT, "shown")), 0.0, meta={"internal": "for the model"})
    (put,) = found.put_into([message])
    assert put.parts[0] == image
    assert put.meta["internal"].endswith("for the model") and "[1] 1.md" in put.meta["internal"]


def test_passages_take_a_quarter_of_the_context_at_most() -> None:
    passages = [_passage(number, "word " * 60) for number in range(1, 9)]
    found = _prompt(_Knowledge(passages)).find(["Birds"], [_message("user", "one two three four five")], 1000)
    assert 0 < len(found.cited) < 8
    assert found.tokens <= 1000 // 4 + 30
    none = _prompt(_Knowledge(passages)).find(["Birds"], [_message("user", "one two three four five")], 100)
    assert none.cited == () and "no room" in none.notes[0]


def test_a_short_question_is_searched_for_with_the_one_before() -> None:
    knowledge = _Knowledge([])
    path = [_message("user", "Where do herons sleep at night?"), _message("assistant", "In trees.")]
    found = _prompt(knowledge).find(["Birds"], [*path, _message("user", "And in winter?")], 4096)
    assert knowledge.asked == "Where do herons sleep at night?\nAnd in winter?"
    assert found.notes == ("No passage of Birds matches the question.",)


def test_what_fails_is_a_note_and_the_reply_goes_on() -> None:
    knowledge = _Knowledge([])

    def fail(*arguments: object) -> Any:
        raise PaddockError("The disk is full.")

    knowledge.search = fail  # type: ignore[method-assign, assignment]
    found = _prompt(knowledge).find(["Birds"], [_message("user", "What?")], 4096)
    assert (found.text, found.notes) == ("", ("The model got no passages of Birds. The disk is full.",))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """Return an opened store of chats."""
    store = ChatStore(tmp_path / "chats.sqlite3")
    yield store
    store.close()


def test_a_chat_uses_its_own_choice_then_its_folders_then_that_of_new_chats(store: ChatStore, tmp_path: Path) -> None:
    folders = Folders(store.database, lambda chat: None)
    settings = Preferences(YamlStore(tmp_path / "settings.yaml"))
    chosen = ChatKnowledge(ChatSettings(store.database), folders, settings)
    chat = store.create_chat().id
    assert chosen.names(chat) == chosen.names("") == ()
    chosen.choose("", ["All"])
    assert chosen.names(chat) == ("All",)
    folder = folders.create("Work")
    folders.change(folder.id, {"knowledge": ["Manuals", 5]})
    folders.move(chat, folder.id)
    assert chosen.names(chat) == ("Manuals",)
    chosen.choose(chat, ["Own", "Own"])
    assert chosen.names(chat) == ("Own",)
    chosen.choose(chat, [])
    assert chosen.names(chat) == ()
