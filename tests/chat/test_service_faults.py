"""Replies when the worker dies, the context overflows, the disk is full, Paddock ends or is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modules.chat.messages import ChatOptions, NotSaved
from modules.chat.parts import Part
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError, PromptError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import OPTIONS, PATIENCE, ROOT, Room

pytestmark = pytest.mark.slow

PARAMS = SamplingParams(max_new_tokens=20)

# A whole host in mid-answer; says how much of the living text is stored after each write.
HOST = """
import sys
from pathlib import Path
from modules.chat.store import ChatStore
from tests.chat import conftest

class Telling(ChatStore):
    def write(self, message_id, text, meta, *, living):
        super().write(message_id, text, meta, living=living)
        print(len(text), flush=True)

conftest.ChatStore = Telling
room = conftest.Room(Path(sys.argv[1]))
room.load(delay=0.001)
chat = room.service.create().id
print(chat, flush=True)
reply, generation = room.ask_without_end(chat)
generation.wait()
"""


@pytest.mark.parametrize("behaviour", ["crash", "exit", "memory"])
def test_an_engine_that_fails_in_mid_answer_leaves_text_and_a_sentence(room: Room, behaviour: str) -> None:
    room.load(delay=0.05)
    chat = room.service.create().id
    reply = room.ask(chat, f"one two three four five six !{behaviour}")[-1]
    # A dying engine may take its last milliseconds of text along.
    assert reply.text and "one two three four".startswith(reply.text)
    assert reply.meta["reason"] == "error" and reply.meta["error"].endswith(".")
    assert reply.meta["generated_tokens"] == len(reply.text.split())
    assert (reply.meta["lower"] == ["context"]) == (behaviour == "memory")
    assert room.service.live_reply(chat) is None
    room.load()
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    assert room.settle(chat)[-1].text.startswith(reply.text)


def test_an_engine_that_fails_at_once_leaves_an_empty_reply_that_later_prompts_skip(room: Room) -> None:
    chat = room.service.create().id
    reply = room.ask(chat, "!error")[-1]
    assert reply.text == "" and "The echo loader fails" in reply.meta["error"]
    room.service.edit(chat, room.service.messages(chat)[0].id, "fine")
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    assert room.settle(chat)[-1].text == "fine"


def fill(room: Room, chat: str, turns: int) -> None:
    for number in range(turns):
        room.ask(chat, f"turn {number} with ten words so that it fills up", PARAMS)


def test_a_long_history_loses_its_oldest_turns_with_a_note(empty: Room) -> None:
    empty.load(context=160)
    chat = empty.service.create().id
    cuts = []
    for number in range(14):
        text = f"turn {number} with ten words so that it fills up"
        options = ChatOptions(system="Stay.")
        empty.service.send(chat, text, PARAMS, options)
        reply = empty.settle(chat)[-1]
        assert reply.text == text, "the question itself is never cut"
        assert reply.meta["cut_tokens"] == 0 and reply.meta["prompt_tokens"] + 20 <= 160
        cuts.append(reply.meta.get("left_out", 0))
    assert cuts[0] == 0 and cuts[-1] > 0 and all(cut % 2 == 0 for cut in cuts)
    assert cuts == sorted(cuts)
    moves = sum(one != two for one, two in zip(cuts, cuts[1:], strict=False))
    assert moves < sum(cut > 0 for cut in cuts), "the cut stays for a while, so that the engine's cache is of use"


def test_a_larger_context_takes_the_whole_history_again(empty: Room) -> None:
    empty.load(context=160)
    chat = empty.service.create().id
    fill(empty, chat, 8)
    assert empty.service.messages(chat)[-1].meta["left_out"] > 0
    empty.load(context=4096)
    assert "left_out" not in empty.ask(chat, "and now")[-1].meta


def test_a_history_beyond_the_context_can_be_refused(empty: Room) -> None:
    empty.load(context=100)
    chat = empty.service.create().id
    options = ChatOptions(overflow="refuse")
    with pytest.raises(PromptError, match="the context holds 100.*larger context"):
        for number in range(14):
            empty.service.send(chat, f"turn {number} with some words", PARAMS, options)
            empty.settle(chat)
    assert empty.service.messages(chat)[-1].role == "user"


def test_a_full_disk_in_mid_answer_keeps_the_text_on_the_page_and_stores_it_later(room: Room) -> None:
    chat = room.service.create().id
    connection = room.service.store.database.connection
    connection.execute("PRAGMA journal_size_limit = 0")
    reply, generation = room.ask_without_end(chat, "many words on and on !long")
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    room.until(chat, lambda: "unsaved" in room.service.messages(chat)[-1].meta)
    room.service.stop(chat)
    shown = room.settle(chat)[-1]
    assert shown.text == generation.text and "Free some space" in shown.meta["unsaved"]
    assert len(room.service.store.path(chat)[-1].text) < len(shown.text)
    with pytest.raises(NotSaved, match="full"):
        room.service.send(chat, "no room for this " * 2000, PARAMS, OPTIONS)
    assert len(room.texts(chat)) == 2
    connection.execute("PRAGMA max_page_count = 1000000")
    room.until(chat, lambda: "unsaved" not in room.service.messages(chat)[-1].meta)
    stored = room.service.store.path(chat)[-1]
    assert stored.id == reply and stored.text == generation.text and stored.meta["stopped"] is True


def test_closing_during_a_reply_stores_the_text_so_far(room: Room) -> None:
    chat = room.service.create().id
    _, generation = room.ask_without_end(chat)
    room.service.close()
    service = room.open()
    reply = service.messages(chat)[-1]
    assert reply.text == generation.text and reply.meta["stopped"] is True and service.store.cut_off == 0


def test_unloading_in_mid_answer_leaves_the_text(room: Room) -> None:
    chat = room.service.create().id
    _, generation = room.ask_without_end(chat)
    room.supervisor.unload()
    reply = room.settle(chat)[-1]
    assert reply.text == generation.text != ""
    assert reply.meta["reason"] in ("error", "cancelled")
    with pytest.raises(PaddockError, match="No model is loaded"):
        room.service.regenerate(chat, reply.id, PARAMS, OPTIONS)


def test_a_killed_host_loses_at_most_the_last_flush_of_the_living_reply(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        chat = host.stdout.readline().strip()
        lengths = [int(host.stdout.readline()) for _ in range(5)]
        host.send_signal(signal.SIGKILL)
        lengths += [int(line) for line in host.stdout if line.strip()]
    room = Room(tmp_path)
    assert room.service.store.cut_off == 1
    asked, reply = room.service.messages(chat)
    assert asked.text == "on and on !long" and reply.meta["cut_off"] is True
    assert len(reply.text) >= lengths[-1] > 0
    room.load()
    room.service.continue_reply(chat, PARAMS, OPTIONS)
    continued = room.settle(chat)[-1]
    assert continued.text.startswith(reply.text) and "cut_off" not in continued.meta
    room.close()


@pytest.mark.parametrize("question", ["on and on !long", "<think> on and on !long"])
def test_the_first_words_of_a_reply_are_stored_at_once_not_with_the_next_flush(empty: Room, question: str) -> None:
    stored = threading.Event()

    class Telling(ChatStore):
        def write(
            self, message_id: str, content: str | Sequence[Part], meta: Mapping[str, Any], *, living: bool
        ) -> None:
            super().write(message_id, content, meta, living=living)
            if any(part if isinstance(part, str) else part.text for part in content):
                stored.set()

    # So slow that the first token, a mark without words in one case, is there alone when the reply is stored.
    empty.load(delay=0.05)
    empty.service.close()
    store = Telling(empty.folder / "chats.sqlite3")
    empty.service = ChatService(store, empty.supervisor, empty.characters, flush_seconds=1e6)
    chat = empty.service.create().id
    empty.ask_without_end(chat, question)
    assert stored.wait(PATIENCE)
    empty.service.stop(chat)
