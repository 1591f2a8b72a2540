"""The tools of extensions: those of the hook `tools` of each extension that is on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from modules.plugins.extension_services import run_extension_tool, tools
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.tool import Tool, checked_description, checked_parameters, tool_name
from modules.plugins.tools.toolbox import SourceState


class ExtensionTools:
    """The tools of running extensions."""

    def __init__(self, manager: ExtensionManager) -> None:
        self._manager = manager

    def tools(self, keys: Sequence[str], chat_id: str) -> Sequence[Tool]:
        """Return all of them."""
        if not any(key.startswith("extension/") for key in keys):
            return []
        return [tool for state in self.states() for tool in state.tools]

    def problems(self, keys: Sequence[str]) -> Sequence[str]:
        """Return nothing: an extension that is off or failed says so on its own card."""
        return ()

    def states(self) -> Sequence[SourceState]:
        """Return each extension with tools."""
        found: dict[str, tuple[list[Tool], list[str]]] = {}
        for entry in tools(self._manager):
            made, problems = found.setdefault(entry["extension"], ([], []))
            try:
                made.append(self._tool(entry))
            except ValueError as error:
                problems.append(f"The tool {entry['name'][:80]!r} was left out: {error}.")
        states = []
        for name, (made, problems) in found.items():
            running = self._manager.running.get(name)
            title = running.title if running else name
            states.append(SourceState(title, tuple(made), note=" ".join(problems)))
        return states

    def _tool(self, entry: Mapping[str, Any]) -> Tool:
        extension, name = entry["extension"], entry["name"]
        running = self._manager.running.get(extension)
        return Tool(
            tool_name(name),
            f"extension/{extension}/{name}",
            running.title if running else extension,
            checked_description(entry.get("description")),
            partial(self._call, entry),
            checked_parameters(entry.get("parameters")),
            # The extension has a separate limit, after which it is switched off. It comes first.
            (running.limit("tools") if running else 60.0) + 5.0,
        )

    def _call(self, entry: Mapping[str, object], arguments: Mapping[str, object], stopped: threading.Event) -> str:
        return run_extension_tool(self._manager, entry, arguments)
