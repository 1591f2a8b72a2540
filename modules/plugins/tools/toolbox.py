"""All tools that chats may use, from every source, and those that are on in a chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modules.plugins.tools.tool import Tool, tool_name
from modules.plugins.tools.tool_choices import ToolChoices

# The source of shipped tools.
OWN = "Paddock"


@dataclass(frozen=True)
class SourceState:
    """A source for the page. `state`: "ready", "starting", "off" or "failed"; `note`: a sentence about it, or "".

    `warning`: a sentence that the user should know before a tool of it runs. `server`: it is an MCP server.
    """

    title: str
    tools: tuple[Tool, ...]
    state: str = "ready"
    note: str = ""
    warning: str = ""
    server: bool = False


class ToolSource(Protocol):
    """Where tools come from."""

    def tools(self, keys: Sequence[str], chat_id: str) -> Sequence[Tool]:
        """Return the tools with these keys that can be called in this chat now. The others may be among them."""

    def problems(self, keys: Sequence[str]) -> Sequence[str]:
        """Return sentences about tools with these keys that cannot be called now."""

    def states(self) -> Sequence[SourceState]:
        """Return what the page shows."""


class ShippedTools:
    """Tools of Paddock itself."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tuple(tools)

    def tools(self, keys: Sequence[str], chat_id: str) -> Sequence[Tool]:
        """Return all of them."""
        return self._tools

    def problems(self, keys: Sequence[str]) -> Sequence[str]:
        """Return nothing: they can always be called."""
        return ()

    def states(self) -> Sequence[SourceState]:
        """Return what the page shows."""
        return [SourceState(OWN, self._tools)]


class Toolbox:
    """The tools of several sources. `choices`: what the user switched on and allowed."""

    def __init__(self, choices: ToolChoices, sources: Callable[[], Sequence[ToolSource]]) -> None:
        self.choices = choices
        self._sources = sources

    def states(self) -> list[SourceState]:
        """Return all sources for the page."""
        return [state for source in self._sources() for state in source.states()]

    def problems(self, chat_id: str) -> list[str]:
        """Return sentences about tools that are on in this chat and cannot be called now."""
        keys = self.choices.switched_on(chat_id)
        return [problem for source in self._sources() for problem in source.problems(keys)] if keys else []

    def for_chat(self, chat_id: str) -> list[Tool]:
        """Return the tools that are on in this chat, each with a separate name."""
        keys = self.choices.switched_on(chat_id)
        if not keys:
            return []
        wanted = set(keys)
        found = [tool for source in self._sources() for tool in source.tools(keys, chat_id) if tool.key in wanted]
        taken: set[str] = set()
        named: list[Tool] = []
        for tool in found:
            name = tool.name if tool.name not in taken else tool_name(f"{tool.source}_{tool.name}")
            number = 2
            while name in taken:
                name, number = f"{tool.name[:60]}_{number}", number + 1
            taken.add(name)
            named.append(replace(tool, name=name))
        return named
