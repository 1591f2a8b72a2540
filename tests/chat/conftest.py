"""A chat service over the echo loader's real worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.chat.characters import Characters
from modules.chat.messages import ChatOptions, Message
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.generation.generation import Generation
from modules.protocol.model_facts import Machine, ModelFacts
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.load_request import LoadRequest
from modules.runtime.loader_registry import Registry
from modules.runtime.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
OPTIONS = ChatOptions()
ENDLESS = SamplingParams(max_new_tokens=1_000_000)


class Room:
    """The service, its supervisor, and what tests do with them over and over."""

    def __init__(self, folder: Path) -> None:
        machine = Machine("linux", "x86_64", 2, 8 << 30, 4 << 30)
        environments = Environments(folder / "environments", [ROOT / "loaders"], machine)
        self.folder = folder
        self.supervisor = Supervisor(ROOT, environments, lambda pid: 0)
        self.characters = Characters(folder / "characters")
        self.service = self.open()

    def open(self) -> ChatService:
        """Open a service on the same files, as after a restart."""
        store = ChatStore(self.folder / "chats.sqlite3")
        self.service = ChatService(store, self.supervisor, self.characters, flush_seconds=0.02)
        return self.service

    def load(self, **settings: Any) -> None:
        """Load the echo loader."""
        facts = ModelFacts("a-model", str(self.folder), "unknown")
        spec = Registry(ROOT / "loaders").get("echo")
        self.supervisor.load(LoadRequest(facts, spec, build(spec.settings, settings)))

    def until(self, chat_id: str, holds: Callable[[], bool]) -> None:
        """Wait for changes of the chat until `holds`."""
        changed = threading.Event()
        end = self.service.subscribe(chat_id, changed.set)
        while not holds():
            assert changed.wait(PATIENCE), "no change came"
            changed.clear()
        end()

    def settle(self, chat_id: str) -> list[Message]:
        """Wait for the end of the reply; the messages then."""
        self.until(chat_id, lambda: self.service.live_reply(chat_id) is None)
        return self.service.messages(chat_id)

    def ask(self, chat_id: str, text: str, params: SamplingParams | None = None) -> list[Message]:
        """Send, wait for the reply's end; the messages then."""
        self.service.send(chat_id, text, params or SamplingParams(), OPTIONS)
        return self.settle(chat_id)

    def ask_without_end(self, chat_id: str, text: str = "on and on !long") -> tuple[str, Generation]:
        """Start a reply that continues until it is stopped. Return once its first words have arrived."""
        message_id = self.service.send(chat_id, text, ENDLESS, OPTIONS)
        living = self.service.live_reply(chat_id)
        assert living is not None and living.message_id == message_id
        next(living.generation.follow())
        return message_id, living.generation

    def texts(self, chat_id: str) -> list[str]:
        """Return the shown texts."""
        return [message.text for message in self.service.messages(chat_id)]

    def close(self) -> None:
        """End everything."""
        self.service.close()
        self.supervisor.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Room]:
    """Return chats without a loaded model."""
    room = Room(tmp_path)
    yield room
    room.close()


@pytest.fixture
def room(empty: Room) -> Room:
    """Return chats with the echo loader, which pauses shortly after each word."""
    empty.load(delay=0.002)
    return empty
