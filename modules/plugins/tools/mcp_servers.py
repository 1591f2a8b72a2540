"""The tools of the MCP servers in mcp.json. Servers start when a chat needs them, or when the page shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from modules.plugins.tools.mcp_connection import FAILED, OFF, READY, STARTING, McpConnection
from modules.plugins.tools.mcp_file import ServerConfig, ServersFileError, read_servers
from modules.plugins.tools.tool import Tool, ToolError, checked_description, checked_parameters, tool_name
from modules.plugins.tools.toolbox import SourceState
from modules.protocol.errors import PaddockError
from modules.system.listeners import Listeners

# A reply waits so long for servers that it needs.
_WAIT_SECONDS = 10.0
_CALL_SECONDS = 120.0


class McpServers:
    """All servers of one file, which is read again when it changes. Thread-safe. `close` ends them."""

    def __init__(self, path: Path, connect_seconds: float = 30.0) -> None:
        self._path = path
        self._connect_seconds = connect_seconds
        self._lock = threading.RLock()
        self._connections: dict[str, McpConnection] = {}
        self._closed = False
        self.listeners: Listeners[Callable[[], None]] = Listeners()

    def tools(self, keys: Sequence[str], chat_id: str) -> Sequence[Tool]:
        """Return the tools of the servers that have one of these keys. Starts them, and waits for those that start."""
        needed = self._needed(keys)
        for config in needed:
            connection = self._connection(config)
            if connection is not None and connection.state == FAILED and connection.was_ready:
                # It worked before, and ended. One that never worked waits for the user.
                self._start_again(config)
        found: list[Tool] = []
        for config in needed:
            if connection := self._connection(config):
                connection.settled.wait(_WAIT_SECONDS)
                found += self._tools_of(connection)[0]
        return found

    def problems(self, keys: Sequence[str]) -> Sequence[str]:
        """Return a sentence about each server that has one of these keys and is not ready."""
        found = []
        for config in self._needed(keys):
            connection = self._connection(config)
            if connection is None or connection.state != READY:
                why = "it is off" if connection is None else connection.problem or "it is still starting"
                found.append(f"The tools of the MCP server {config.name} were left out: {why}. Open Tools for more.")
        return found

    def _needed(self, keys: Sequence[str]) -> list[ServerConfig]:
        return [config for config in self._configs() if any(key.startswith(_prefix(config)) for key in keys)]

    def states(self) -> Sequence[SourceState]:
        """Return all servers for the page, and start them. A file that cannot be used is one that failed."""
        try:
            configs = read_servers(self._path)
        except ServersFileError as error:
            return [SourceState(self._path.name, (), FAILED, error.message)]
        return [self._state(config) for config in configs]

    def restart(self, name: str) -> None:
        """Start a server again. Raises PaddockError if there is none of that name."""
        config = next((config for config in read_servers(self._path) if config.name == name), None)
        if config is None:
            raise PaddockError(f"There is no MCP server named {name[:80]!r} in {self._path.name}.")
        self._start_again(config)

    def _start_again(self, config: ServerConfig) -> None:
        with self._lock:
            old = self._connections.pop(config.name, None)
        if old is not None:
            old.close()
        self._connection(config)

    def close(self) -> None:
        """End all servers."""
        with self._lock:
            self._closed = True
            connections = list(self._connections.values())
            self._connections.clear()
        for connection in connections:
            connection.begin_close()
        for connection in connections:
            connection.close()

    def _configs(self) -> list[ServerConfig]:
        try:
            return read_servers(self._path)
        except ServersFileError:
            return []

    def _connection(self, config: ServerConfig) -> McpConnection | None:
        """Return the connection with a server, started if it was not, or if its entry has changed."""
        if config.problem or config.disabled:
            return None
        with self._lock:
            found = self._connections.get(config.name)
            if found is not None and found.config == config:
                return found
            if self._closed:
                return None
            made = self._connections[config.name] = McpConnection(config, self.listeners.notify, self._connect_seconds)
        if found is not None:
            found.close()
        return made

    def _state(self, config: ServerConfig) -> SourceState:
        where = f"Runs {config.command} on this computer." if config.command else f"Sends arguments to {config.url}."
        state = SourceState(config.name, (), OFF, warning=where, server=not config.problem and not config.disabled)
        if config.problem:
            return replace(state, state=FAILED, note=config.problem, warning="")
        connection = self._connection(config)
        if connection is None:
            return replace(state, note='It is "disabled" in mcp.json.' if config.disabled else "")
        if connection.state == FAILED:
            last = connection.printed
            printed = f" It printed last: {last[-500:]}" if last else ""
            return replace(state, state=FAILED, note=f"It failed: {connection.problem}.{printed}")
        if connection.state == STARTING:
            return replace(state, state=STARTING)
        tools, problems = self._tools_of(connection)
        note = " ".join(problems) or ("" if tools else "It has no tools.")
        return replace(state, state=READY, tools=tuple(tools), note=note)

    def _tools_of(self, connection: McpConnection) -> tuple[list[Tool], list[str]]:
        """Return the tools of a server, and sentences about those that cannot be used."""
        config, tools, problems = connection.config, list[Tool](), list[str]()
        for entry in connection.listed:
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip():
                problems.append("A tool without a name was left out.")
                continue
            try:
                parameters = checked_parameters(entry.get("parameters"))
            except ValueError as error:
                problems.append(f"The tool {name[:80]!r} was left out: {error}.")
                continue
            tools.append(
                Tool(
                    tool_name(name),
                    f"{_prefix(config)}{name}",
                    config.name,
                    checked_description(entry.get("description")),
                    partial(self._call, config, name),
                    parameters,
                    _CALL_SECONDS,
                )
            )
        return tools, problems

    def _call(self, config: ServerConfig, name: str, arguments: Mapping[str, object], stopped: threading.Event) -> str:
        connection = self._connection(config)
        if connection is None or connection.state != READY:
            why = connection.problem if connection else "it is off"
            raise ToolError(f"The MCP server {config.name} cannot be used: {why or 'it is still starting'}.")
        return connection.call(name, arguments, stopped)


def _prefix(config: ServerConfig) -> str:
    return f"mcp/{config.name}/{config.mark}/"
