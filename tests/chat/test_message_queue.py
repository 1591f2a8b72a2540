"""A message that is sent while the model loads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from modules.app import App
from modules.chat.message_queue import MessageQueue
from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState

PATIENCE = 90.0


@pytest.fixture
def waiting(app: App) -> MessageQueue:
    """Return the queue that the page sends with."""
    options, params = app.chat_preferences.options, app.chat_preferences.params
    return MessageQueue(app.chats, app.supervisor, lambda chat: (params(chat), options(chat)), app.load_for_chat)


def until(subscribe: Callable[[Callable[..., None]], Callable[[], None]], holds: Callable[[], bool]) -> None:
    changed = threading.Event()
    end = subscribe(lambda *_: changed.set())
    while not holds():
        assert changed.wait(PATIENCE)
        changed.clear()
    end()


def test_it_is_answered_when_the_model_is_ready(app: App, waiting: MessageQueue) -> None:
    chat = app.chats.create().id
    app.supervisor.state_store.set(ModelState("loading", "tiny", "echo"))
    assert waiting.send(chat, "are you there")
    assert [message.role for message in app.chats.messages(chat)] == ["user"]
    app.models.load("tiny", "echo", {})
    until(
        lambda callback: app.chats.subscribe(chat, callback),
        lambda: len(app.chats.messages(chat)) == 2 and app.chats.live_reply(chat) is None,
    )
    assert app.chats.messages(chat)[-1].text == "are you there"
    assert not waiting.send(chat, "once more")


def answered(app: App, chat: str) -> Callable[[], bool]:
    return lambda: len(app.chats.messages(chat)) == 2 and app.chats.live_reply(chat) is None


def test_one_sent_just_before_another_model_is_loaded_is_answered_by_that_one(echo: App, waiting: MessageQueue) -> None:
    chat = echo.chats.create().id
    with echo.supervisor.without_generations(lambda: False):
        assert waiting.send(chat, "are you there")
        assert [message.role for message in echo.chats.messages(chat)] == ["user"]
        echo.models.load("tiny", "echo", {"context": 512})
    until(lambda callback: echo.chats.subscribe(chat, callback), answered(echo, chat))
    reply = echo.chats.messages(chat)[-1]
    assert (reply.text, reply.meta["context"]) == ("are you there", 512)


def test_one_sent_just_before_a_load_that_is_given_up_is_answered(echo: App, waiting: MessageQueue) -> None:
    chat = echo.chats.create().id
    with echo.supervisor.without_generations(lambda: False):
        assert waiting.send(chat, "are you there")
    until(lambda callback: echo.chats.subscribe(chat, callback), answered(echo, chat))
    assert echo.chats.messages(chat)[-1].text == "are you there"


def test_a_load_that_fails_leaves_it_in_the_chat(app: App, waiting: MessageQueue) -> None:
    chat = app.chats.create().id
    app.supervisor.state_store.set(ModelState("loading", "tiny", "echo"))
    assert waiting.send(chat, "are you there")
    app.supervisor.state_store.set(ModelState("failed", "tiny", "echo", error=PaddockError("It did not load.")))
    app.models.load("tiny", "echo", {})
    assert [message.text for message in app.chats.messages(chat)] == ["are you there"]


def test_without_a_model_or_a_load_it_is_an_error_at_once(app: App, waiting: MessageQueue) -> None:
    chat = app.chats.create().id
    with pytest.raises(PaddockError, match="No model is loaded"):
        waiting.send(chat, "are you there")
    assert [message.text for message in app.chats.messages(chat)] == ["are you there"]
