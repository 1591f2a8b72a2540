"""The tools that chats may use: shipped ones, those of extensions, and those of MCP servers."""

from __future__ import annotations

from collections.abc import Callable

from modules.chat.fetch_page import FETCH_PAGE
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.calculate import CALCULATE
from modules.plugins.tools.extension_tools import ExtensionTools
from modules.plugins.tools.mcp_servers import McpServers
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.toolbox import ShippedTools, Toolbox, ToolSource
from modules.settings.user_settings import YamlStore


def chat_tools(
    choices: YamlStore, extensions: Callable[[], ExtensionManager], servers: Callable[[], McpServers | None]
) -> Toolbox:
    """Return the tools of one account. `choices`: what it switched on; `servers`: returns None if it may not use them.

    Both functions are called when the tools are needed.
    """

    def sources() -> list[ToolSource]:
        found: list[ToolSource] = [ShippedTools((CALCULATE, FETCH_PAGE)), ExtensionTools(extensions())]
        own = servers()
        return [*found, own] if own else found

    return Toolbox(ToolChoices(choices), sources)
