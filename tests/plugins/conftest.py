"""Fixtures for test extensions, written as an author would."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.chat.messages import ChatOptions, Message
from modules.cli.application import build_app
from modules.plugins.extension_overview import extension_statuses
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.manager import ExtensionManager
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from modules.settings.user_settings import YamlStore

PATIENCE = 90.0
PARAMS = SamplingParams()
OPTIONS = ChatOptions()


def write_extension(root: Path, name: str, code: str, manifest: str = "", **files: str) -> Path:
    """Write a folder with an extension.py and further files by name (`worker_py="…"`)."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extension.py").write_text(textwrap.dedent(code))
    if manifest:
        (folder / "extension.yaml").write_text(textwrap.dedent(manifest))
    for file, text in files.items():
        (folder / file.replace("_py", ".py")).write_text(textwrap.dedent(text))
    return folder


class Place:
    """A manager with a separate folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "extensions"
        self.root.mkdir(parents=True)
        self.store = YamlStore(folder / "extensions.yaml")
        self.manager = self.open()

    def open(self) -> ExtensionManager:
        """Create a manager, as at a start."""
        folders = self.folder / "packages", self.folder / "data"
        return ExtensionManager([self.root], *folders, ExtensionSettings(self.store), None)

    def add(self, name: str, code: str, manifest: str = "", **files: str) -> str:
        """Write an extension, agree to its files and switch it on."""
        write_extension(self.root, name, code, manifest, **files)
        self.manager.enable(name, self.manager.find(name).sha256)
        return name

    def status(self, name: str) -> Any:
        """Return the status that the page would show."""
        return next(status for status in extension_statuses(self.manager) if status.name == name)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return extensions without an App. All are disabled afterwards."""
    place = Place(tmp_path)
    yield place
    place.manager.close()


class Talk:
    """An App with the echo loader and extensions that take part in its chats."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.manager = app.extensions
        self.root = app.paths.extensions[1]

    def add(self, name: str, code: str, manifest: str = "", **files: str) -> None:
        """Write an extension, agree to its files and switch it on."""
        write_extension(self.root, name, code, manifest, **files)
        self.manager.enable(name, self.manager.find(name).sha256)

    def ask(self, text: str, chat: str = "", **params: Any) -> list[Message]:
        """Send a message in a chat (or a new one), wait for the reply, and return the messages."""
        chat = chat or self.app.chats.create().id
        self.app.chats.send(chat, text, SamplingParams(**params), OPTIONS)
        return self.settle(chat)

    def prompts(self) -> list[str]:
        """Return a list that collects the prompts of the model from now on."""
        found: list[str] = []
        generate = self.app.supervisor.generate

        def note(prompt: str, *rest: Any, **named: Any) -> Any:
            found.append(prompt)
            return generate(prompt, *rest, **named)

        generate_chat = self.app.supervisor.generate_chat

        def note_chat(chat: Generate, *rest: Any, **named: Any) -> Any:
            rendered = self.app.supervisor.chat_prompt(chat.messages, chat.template, chat.continue_last, chat.variables)
            found.append(rendered.prompt + chat.reply_prefix)
            return generate_chat(chat, *rest, **named)

        self.app.supervisor.generate = note  # type: ignore[method-assign]
        self.app.supervisor.generate_chat = note_chat  # type: ignore[method-assign]
        return found

    def settle(self, chat: str) -> list[Message]:
        """Wait until no reply is being written in the chat, and return its messages."""
        self.until(chat, lambda: self.app.chats.live_reply(chat) is None)
        return self.app.chats.messages(chat)

    def until(self, chat: str, holds: Callable[[], bool]) -> None:
        """Wait for changes of the chat until `holds` returns True."""
        changed = threading.Event()
        end = self.app.chats.subscribe(chat, changed.set)
        while not holds():
            assert changed.wait(PATIENCE), "no change came"
            changed.clear()
        end()


@pytest.fixture
def talk(config: Config) -> Iterator[Talk]:
    """Return an App with the echo loader loaded."""
    app = build_app(config)
    app.models.load("tiny", "echo", {})
    yield Talk(app)
    app.close()
