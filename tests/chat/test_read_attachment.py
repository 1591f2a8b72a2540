"""The tool `read_attachment`: documents of this chat only, in parts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from modules.chat.read_attachment import AttachmentTool
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import OPTIONS, Room


def _attach(room: Room, chat: str, name: str, text: str) -> None:
    one = room.service.attachments.add(text.encode(), name)
    files = room.service.files.parts([(one.hash, one.name)])
    room.service.send(chat, "Look.", SamplingParams(), OPTIONS, files)
    room.settle(chat)


def test_documents_of_the_chat_are_read_in_parts(room: Room) -> None:
    chat, other = room.service.create().id, room.service.create().id

    def read(chat_id: str, **arguments: Any) -> str:
        (tool,) = AttachmentTool(lambda: room.service).tools([], chat_id)
        return tool.call(arguments, threading.Event())

    with pytest.raises(PaddockError, match="No document"):
        read(chat)
    _attach(room, chat, "notes.txt", "word " * 5_000)
    assert "12,999 more characters" in read(chat) or "13,000 more characters" in read(chat)
    assert "more characters" not in read(chat, name="notes.txt", start=20_000)
    with pytest.raises(PaddockError, match="nothing from 90,000 on"):
        read(chat, start=90_000)
    _attach(room, chat, "plan.txt", "The plan.")
    assert read(chat, name="plan.txt").strip() == "The plan."
    for wrong in ({}, {"name": "other.txt"}, {"name": 5}, {"start": -1}, {"start": True}):
        with pytest.raises(PaddockError):
            read(chat, **wrong)
    with pytest.raises(PaddockError, match="No document"):
        read(other, name="plan.txt")
