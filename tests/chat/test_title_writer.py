"""Titles by the model: only when it is idle, only in place of the first question's words, never in a reply's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from modules.app import App
from modules.chat.title_writer import QUESTION, TitleWriter, clean_title
from modules.protocol.sampling import SamplingParams

PATIENCE = 90


@pytest.fixture
def titles(echo: App) -> Iterator[TitleWriter]:
    """Return the writer, which begins at once while the model is idle."""
    writer = TitleWriter(echo.chats, echo.supervisor, lambda: True, echo.chat_preferences.options, idle_seconds=0)
    yield writer
    writer.close()


def until(app: App, holds: Callable[[], bool]) -> None:
    """Wait for changes of any chat until `holds`."""
    changed = threading.Event()
    end = app.chats.subscribe("", changed.set)
    while not holds():
        assert changed.wait(PATIENCE)
        changed.clear()
    end()


def ask(app: App, chat: str, text: str) -> None:
    app.chats.send(chat, text, SamplingParams(), app.chat_preferences.options(chat))


def test_a_chat_gets_a_title_by_the_model_after_its_first_reply(echo: App, titles: TitleWriter) -> None:
    chat = echo.chats.create().id
    ask(echo, chat, "hello there")
    # The echo loader answers with the last line of the prompt.
    until(echo, lambda: echo.chats.head(chat).title.startswith(QUESTION[:20]))
    assert [message.text for message in echo.chats.messages(chat)] == ["hello there", "hello there"]


def test_a_title_waits_for_replies_and_a_persons_title_stays(echo: App, titles: TitleWriter) -> None:
    named, long, plain = (echo.chats.create().id for _ in range(3))
    ask(echo, long, "on and on !long")
    echo.chats.rename(named, "Mine")
    ask(echo, named, "hello there")
    ask(echo, plain, "good morning")
    until(echo, lambda: not {named, plain} & echo.chats.answering())
    # The model is busy with the long reply.
    assert echo.chats.head(plain).title == "good morning"
    echo.chats.stop(long)
    until(echo, lambda: echo.chats.head(plain).title.startswith(QUESTION[:20]))
    assert echo.chats.head(named).title == "Mine"


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ('"Herons in Winter."\nMore text', "Herons in Winter"),
        ("**Title:** The  river", "The river"),
        ("\n# A heading\n", "A heading"),
        ("<script>alert(1)</script>", "script>alert(1)</script"),
        ("word " * 40, "word word word word word word word word word word word word…"),
        ("", ""),
    ],
    ids=["quotes", "label", "heading", "markup", "long", "empty"],
)
def test_an_answer_becomes_a_short_title(answer: str, title: str) -> None:
    assert clean_title(answer) == title
