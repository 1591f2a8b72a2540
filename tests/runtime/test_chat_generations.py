"""A chat crosses to the worker once, as messages: the prompt is made there, and its text stays there."""

from __future__ import annotations

import os
import signal

import pytest

from modules.app import App
from modules.chat.messages import ChatOptions
from modules.protocol.codec import encode
from modules.protocol.commands import Command, Generate
from modules.protocol.errors import PromptError
from modules.protocol.events import Event
from modules.protocol.sampling import SamplingParams
from tests.conftest import ROOMY

PATIENCE = 90.0
LONG = SamplingParams(max_new_tokens=1_000_000)


def _chat(text: str, params: SamplingParams | None = None, **more: str) -> Generate:
    return Generate("", params=params or SamplingParams(), messages=[{"role": "user", "content": text}], **more)  # type: ignore[arg-type]


def test_the_messages_cross_once_and_the_prompt_does_not(echo: App, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Command] = []
    heard: list[Event] = []
    process = echo.supervisor.worker().client.process
    send, receive = process.send, process._on_event

    def note_command(command: Command) -> None:
        sent.append(command)
        send(command)

    def note_event(event: Event) -> None:
        heard.append(event)
        receive(event)

    monkeypatch.setattr(process, "send", note_command)
    monkeypatch.setattr(process, "_on_event", note_event)
    chat = echo.chats.create().id
    echo.chats.send(chat, "only once", SamplingParams(), ChatOptions(system="Be kind."))
    live = echo.chats.live_reply(chat)
    assert live is None or live.generation.wait(PATIENCE)
    assert echo.chats.messages(chat)[-1].text == "only once"
    assert [type(command).__name__ for command in sent] == ["Generate", "Start"]
    assert "<|im_start|>" not in "".join(encode(message) for message in (*sent, *heard))


def test_what_the_template_refuses_is_an_error_at_once(echo: App) -> None:
    busy = [echo.supervisor.generate("go !long", LONG) for _ in range(8)]
    with pytest.raises(PromptError, match="refuses this chat"):
        echo.supervisor.generate_chat(_chat("x", template="{{ raise_exception('Never.') }}"))
    for generation in busy:
        generation.cancel()


def test_above_the_slots_chats_and_texts_wait_in_order(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    first = app.supervisor.generate_chat(_chat("one !long", LONG))
    second = app.supervisor.generate("two !long", LONG)
    third = app.supervisor.generate_chat(_chat("three"))
    assert third.prompted is not None and third.prompted.tokens > 1
    next(first.follow())
    assert (second.tokens, third.tokens) == (0, 0)
    first.cancel()
    next(second.follow())
    assert third.tokens == 0
    second.cancel()
    assert third.wait(PATIENCE)
    assert third.text == "three"


def test_a_chat_that_waits_can_be_stopped_before_it_began(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    first = app.supervisor.generate_chat(_chat("one !long", LONG))
    second = app.supervisor.generate_chat(_chat("two"))
    second.cancel()
    assert second.wait(PATIENCE)
    assert second.finished is not None and second.finished.reason == "cancelled"
    first.cancel()
    assert first.wait(PATIENCE)
    last = app.supervisor.generate_chat(_chat("three"))
    assert last.wait(PATIENCE) and last.text == "three"


def test_a_worker_that_dies_fails_the_chats_that_wait(app: App) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "slots": 1})
    first = app.supervisor.generate_chat(_chat("one !long", LONG))
    second = app.supervisor.generate_chat(_chat("two"))
    next(first.follow())
    worker = app.supervisor.worker_pid()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    assert first.wait(PATIENCE) and second.wait(PATIENCE)
    assert first.error is not None and second.error is not None
    assert first.text.startswith("one")
