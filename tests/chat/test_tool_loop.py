"""Replies that call tools: ask, run, continue, and survive users and failures. The echo loader writes the calls.

It repeats the last line of the prompt: the question's call first, and then the last line of the result's message.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modules.chat import tool_loop
from modules.chat.messages import Message
from modules.chat.parts import REASONING, TEXT, TOOL_CALL, TOOL_RESULT
from modules.chat.prompt import message_turns
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.plugins.tools.calculate import CALCULATE
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.toolbox import ShippedTools, Toolbox
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.settings.user_settings import YamlStore
from tests.chat.conftest import OPTIONS, PATIENCE, Room

END = "</tool_response>"


def call(name: str, **arguments: Any) -> str:
    """Return a call as models write it, in one line."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


SUM = call("calculate", expression="2+3*4")


class ToolRoom(Room):
    """A room whose chats have tools: calculate, and one that waits until it is released."""

    def __init__(self, folder: Path) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        super().__init__(folder)

    def open(self) -> ChatService:
        def wait(arguments: Mapping[str, Any], stopped: threading.Event) -> str:
            self.begun.set()
            assert self.release.wait(PATIENCE) or stopped.is_set()
            return "waited <b>bold</b>"

        tools = [CALCULATE, Tool("wait", "test/wait", "Tests", "Waits", wait)]
        choices = ToolChoices(YamlStore(self.folder / "tools.yaml"))
        self.toolbox = Toolbox(choices, lambda: [ShippedTools(tools)])
        store = ChatStore(self.folder / "chats.sqlite3")
        self.service = ChatService(store, self.supervisor, self.characters, flush_seconds=0.02, toolbox=self.toolbox)
        return self.service

    def chat(self) -> str:
        """Return a chat with both tools on."""
        chat = self.service.create().id
        for tool in (CALCULATE.key, "test/wait"):
            self.toolbox.choices.switch(chat, tool, True)
        return chat

    def begin(self, chat: str, text: str) -> None:
        """Send a message without waiting for the reply."""
        self.service.send(chat, text, SamplingParams(), OPTIONS)

    def asking(self, chat: str, count: int = 1) -> list[str]:
        """Wait until so many calls ask. Return their ids."""

        def ids() -> list[str]:
            living = self.service.live_reply(chat)
            return [id for id, (state, _) in living.calls().items() if state == "asks"] if living else []

        self.until(chat, lambda: len(ids()) >= count)
        return ids()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ToolRoom]:
    """Return a room with the echo loader and tools."""
    room = ToolRoom(tmp_path)
    room.load(delay=0.0)
    yield room
    room.release.set()
    room.close()


def kinds(message: Message) -> list[str]:
    """Return the kinds of a message's parts."""
    return [part.kind for part in message.parts]


def results(message: Message) -> list[tuple[str, str]]:
    """Return (text, state) of each result."""
    return [(part.text, part.meta["state"]) for part in message.parts if part.kind == TOOL_RESULT]


def test_a_call_asks_runs_and_the_reply_goes_on(room: ToolRoom) -> None:
    chat = room.chat()
    room.begin(chat, f"Please.\n{SUM}")
    (id,) = room.asking(chat)
    living = room.service.live_reply(chat)
    assert living and kinds(room.service.messages(chat)[1]) == [TOOL_CALL]
    room.service.answer_call(chat, id, "once")
    _, reply = room.settle(chat)
    assert kinds(reply) == [TOOL_CALL, TOOL_RESULT, TEXT]
    assert results(reply) == [("14", "ok")] and reply.text == END
    assert reply.meta["generated_tokens"] > 2, "the tokens of both rounds count"


def test_an_allowed_tool_does_not_ask_again(room: ToolRoom) -> None:
    chat, other = room.chat(), room.chat()
    room.begin(chat, SUM)
    room.service.answer_call(chat, room.asking(chat)[0], "chat")
    room.settle(chat)
    assert results(room.ask(chat, call("calculate", expression="1/0"))[-1])[0][1] == "failed"
    room.begin(other, SUM)
    room.service.answer_call(other, room.asking(other)[0], "always")
    room.settle(other)
    assert results(room.ask(room.chat(), SUM)[-1]) == [("14", "ok")]


def test_several_calls_at_once_ask_at_once_and_keep_their_order(room: ToolRoom) -> None:
    chat = room.chat()
    room.begin(chat, " ".join([call("wait"), SUM, call("nothing"), call("calculate", expression="1+1")]))
    waiting, first, second = room.asking(chat, 3)
    room.service.answer_call(chat, waiting, "once")
    assert room.begun.wait(PATIENCE)
    room.service.answer_call(chat, first, "chat")
    room.until(chat, lambda: len(results(room.service.messages(chat)[1])) == 3)
    with pytest.raises(PaddockError, match="not wait"):
        room.service.answer_call(chat, second, "once")
    room.release.set()
    _, reply = room.settle(chat)
    assert kinds(reply) == [TOOL_CALL] * 4 + [TOOL_RESULT] * 4 + [TEXT]
    assert [text for text, _ in results(reply)][:2] == ["waited <b>bold</b>", "14"]
    assert "no tool named 'nothing'" in results(reply)[2][0] and results(reply)[3][0] == "2"


def test_a_refused_call_is_a_result_and_the_model_goes_on(room: ToolRoom) -> None:
    chat = room.chat()
    room.begin(chat, SUM)
    room.service.answer_call(chat, room.asking(chat)[0], "refuse")
    _, reply = room.settle(chat)
    assert results(reply)[0][1] == "refused" and reply.text == END


def test_stop_ends_a_call_that_asks_and_one_that_runs(room: ToolRoom) -> None:
    chat = room.chat()
    room.begin(chat, f"{call('wait')} {SUM}")
    room.service.answer_call(chat, room.asking(chat, 2)[0], "once")
    assert room.begun.wait(PATIENCE)
    room.service.stop(chat)
    _, reply = room.settle(chat)
    assert [state for _, state in results(reply)] == ["stopped", "stopped"]
    # The next message, and Continue, continue from there.
    room.service.continue_reply(chat, SamplingParams(), OPTIONS)
    assert room.settle(chat)[-1].text == END
    assert room.ask(chat, "hello")[-1].text == "hello"


def test_without_tools_a_call_is_text(room: ToolRoom) -> None:
    chat = room.service.create().id
    assert room.ask(chat, SUM)[-1].text == SUM


def test_a_limit_ends_calls_without_an_end(room: ToolRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_loop, "MOST_ROUNDS", 0)
    chat = room.chat()
    _, reply = room.ask(chat, SUM)
    assert results(reply)[0] == (tool_loop.LIMIT, "failed")
    assert reply.text == END and tool_loop.LIMIT_NOTE in reply.meta["notes"]


def test_a_kill_in_mid_call_leaves_a_readable_chat(room: ToolRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    chat, stored, write = room.chat(), threading.Event(), room.service.store.write

    def noted(message_id: str, content: Any, *more: Any, **named: Any) -> None:
        write(message_id, content, *more, **named)
        if any(part.kind == TOOL_CALL for part in content):
            stored.set()

    monkeypatch.setattr(room.service.store, "write", noted)
    room.begin(chat, SUM)
    room.asking(chat)
    assert stored.wait(PATIENCE)
    other = ChatStore(room.folder / "chats.sqlite3")
    killed = other.path(chat)[1]
    other.close()
    assert killed.meta["cut_off"] and kinds(killed) == [TOOL_CALL]
    turns = message_turns(killed)
    assert [turn["role"] for turn in turns] == ["assistant", "tool"] and "interrupted" in turns[1]["content"]


def test_calls_survive_edit_branch_regenerate_export_and_reload(room: ToolRoom) -> None:
    chat = room.chat()
    room.toolbox.choices.allow(chat, CALCULATE.key)
    _, reply = room.ask(chat, SUM)
    room.service.edit(chat, reply.id, "It is **14**.")
    edited = room.service.messages(chat)[1]
    assert kinds(edited) == [TOOL_CALL, TOOL_RESULT, TEXT] and edited.text == "It is **14**."
    branch = room.service.branch(chat, edited.id).id
    assert kinds(room.service.messages(branch)[1]) == kinds(edited)
    copy = room.service.import_chat(json.loads(json.dumps(room.service.export(chat)))).id
    assert room.service.messages(copy)[1].parts == edited.parts
    room.service.regenerate(chat, edited.id, SamplingParams(), OPTIONS)
    again = room.settle(chat)[1]
    assert results(again) == [("14", "ok")] and again.versions == 3
    room.service.close()
    assert room.open().messages(chat)[1].parts == again.parts
    # The next prompt has the call and its result.
    assert [turn["role"] for turn in message_turns(again)] == ["assistant", "tool", "assistant"]
    assert room.ask(chat, "and now")[-1].text == "and now"


def test_a_continued_answer_keeps_its_calls(room: ToolRoom) -> None:
    chat = room.chat()
    room.toolbox.choices.allow(chat, CALCULATE.key)
    room.ask(chat, SUM)
    room.service.continue_reply(chat, SamplingParams(), OPTIONS)
    _, reply = room.settle(chat)
    assert kinds(reply) == [TOOL_CALL, TOOL_RESULT, TEXT] and reply.text.startswith(END)


def test_reasoning_before_a_call_stays_before_it(room: ToolRoom) -> None:
    chat = room.chat()
    room.toolbox.choices.allow(chat, CALCULATE.key)
    _, reply = room.ask(chat, f"<think> I add. </think> Now: {SUM}")
    assert kinds(reply) == [REASONING, TEXT, TOOL_CALL, TOOL_RESULT, TEXT]
    turn = message_turns(reply)[0]
    assert (turn["reasoning_content"], turn["content"]) == ("I add.", "Now:")


def test_a_reply_that_must_call_a_tool_is_forced_once_and_says_if_it_did_not(
    room: ToolRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas: list[str] = []
    generate = room.supervisor.generate_chat

    def note(chat: Any, *given: Any) -> Any:
        schemas.append(chat.params.json_schema)
        return generate(dataclasses.replace(chat, params=dataclasses.replace(chat.params, json_schema="")), *given)

    monkeypatch.setattr(room.supervisor, "generate_chat", note)
    chat = room.chat()
    room.toolbox.choices.set_must_call(chat, True)
    room.toolbox.choices.allow(chat, CALCULATE.key)
    room.begin(chat, SUM)
    reply = room.settle(chat)[-1]
    assert [part.kind for part in reply.parts[:2]] == [TOOL_CALL, TOOL_RESULT]
    forced = json.loads(schemas[0])
    names = [call["properties"]["name"]["const"] for call in forced["items"]["anyOf"]]
    assert (sorted(names), forced["minItems"], schemas[1]) == (["calculate", "wait"], 1, "")
    room.begin(chat, "no call")
    assert tool_loop.NO_CALL_NOTE in room.settle(chat)[-1].meta["notes"]


def test_a_branch_must_call_tools_too(room: ToolRoom) -> None:
    choices = room.toolbox.choices
    chat = room.chat()
    assert not choices.must_call(chat)
    choices.set_must_call("", True)
    assert choices.must_call(chat) and choices.must_call()
    choices.set_must_call(chat, False)
    choices.copy(chat, "other")
    assert not choices.must_call(chat) and not choices.must_call("other")
