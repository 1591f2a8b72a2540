"""The tools that chats may use: shipped ones, those of extensions, and those of MCP servers."""

from __future__ import annotations

from typing import Protocol

from modules.chat.database import StorageError
from modules.chat.fetch_page import FETCH_PAGE
from modules.chat.read_attachment import AttachmentTool
from modules.chat.service import ChatService
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.calculate import CALCULATE
from modules.plugins.tools.extension_tools import ExtensionTools
from modules.plugins.tools.mcp_servers import McpServers
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.toolbox import ShippedTools, Toolbox, ToolSource
from modules.settings.user_settings import YamlStore


class ToolsOwner(Protocol):
    """The App of an account: what its tools come from."""

    mcp: McpServers

    @property
    def chats(self) -> ChatService:
        """The chats of the account."""

    @property
    def extensions(self) -> ExtensionManager:
        """The extensions, which all accounts share."""

    @property
    def may_manage(self) -> bool:
        """True if it may use the MCP servers, which run with the owner's rights."""


def chat_tools(choices: YamlStore, owner: ToolsOwner) -> Toolbox:
    """Return the tools of one account. `choices`: what it switched on. `owner` is read when the tools are needed."""

    def sources() -> list[ToolSource]:
        own = ShippedTools((CALCULATE, FETCH_PAGE)), AttachmentTool(lambda: owner.chats)
        found: list[ToolSource] = [*own, ExtensionTools(owner.extensions)]
        return [*found, owner.mcp] if owner.may_manage else found

    return Toolbox(ToolChoices(choices, _StoredTools(owner)), sources)


class _StoredTools:
    """The tools of each chat, in its settings."""

    def __init__(self, owner: ToolsOwner) -> None:
        self._owner = owner

    def get(self, chat_id: str) -> object:
        """Return the stored keys, None if the chat has made no choice."""
        try:
            return self._owner.chats.settings.get(chat_id).get("tools")
        except StorageError:  # The chat is gone. The page says so elsewhere.
            return None

    def set(self, chat_id: str, keys: list[str]) -> None:
        """Store the keys."""
        self._owner.chats.settings.change(chat_id, {"tools": keys})
