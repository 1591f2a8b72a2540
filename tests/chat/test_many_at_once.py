"""Several tabs press buttons at once, in the same chats."""

from __future__ import annotations

import random
import threading

from modules.chat.messages import NotSaved
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import OPTIONS, Room


def test_concurrent_tabs_leave_consistent_chats(room: Room) -> None:
    chats = [room.service.create().id for _ in range(2)]
    sent: dict[str, set[str]] = {chat: set() for chat in chats}
    faults: list[BaseException] = []

    def tab(number: int) -> None:
        chance = random.Random(number)
        for step in range(40):
            chat = chance.choice(chats)
            text = f"tab {number} step {step} says some words"
            path = room.service.messages(chat)
            some = chance.choice(path).id if path else ""
            action = chance.choice(("send", "send", "stop", "regenerate", "continue", "edit", "delete", "switch"))
            params = SamplingParams(max_new_tokens=30)
            try:
                if action == "send":
                    room.service.send(chat, text, params, OPTIONS)
                    sent[chat].add(text)
                elif action == "stop":
                    room.service.stop(chat)
                elif action == "regenerate":
                    room.service.regenerate(chat, some, params, OPTIONS)
                elif action == "continue":
                    room.service.continue_reply(chat, params, OPTIONS)
                elif action == "edit":
                    room.service.edit(chat, some, text)
                elif action == "delete" and chance.random() < 0.3:
                    room.service.delete(chat, some)
                elif action == "switch":
                    room.service.switch(chat, some, 1)
            except (NotSaved, PaddockError):
                # An error that a reply is being written, or that a message is gone, is correct here.
                pass
            except BaseException as fault:
                faults.append(fault)

    tabs = [threading.Thread(target=tab, args=(number,)) for number in range(4)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    assert faults == []
    for chat in chats:
        room.settle(chat)
    for chat in chats:
        tree = room.service.store.tree(chat)
        assert sent[chat] <= {part["text"] for entry in tree for part in entry["parts"]}, (
            "a question that was accepted is lost"
        )
        assert any(entry["role"] == "assistant" and entry["parts"] for entry in tree)
        assert all("reason" in entry["meta"] for entry in tree if "model" in entry["meta"]), "a reply never ended"
        assert room.service.store.database.rows("SELECT id FROM messages WHERE living") == []
        assert room.ask(chat, "still works", SamplingParams(max_new_tokens=3))[-1].text
