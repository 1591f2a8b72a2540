"""A real MCP server, written with the package `mcp`: `python tests/support/mcp_server.py stdio`, or `http`.

Over HTTP it prints the address that it serves, and wants the header X-Key: secret.
"""

from __future__ import annotations

import os
import socket
import sys
import time

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

server = MCPServer("test server")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool()
def shout(text: str) -> str:
    """Return the text in capitals."""
    return text.upper()


@server.tool()
def fail(why: str = "on purpose") -> str:
    """Fail with a sentence."""
    raise ToolError(why)


@server.tool()
def flood(megabytes: int) -> str:
    """Return so many megabytes of text."""
    return "x" * (megabytes * 1_000_000)


@server.tool()
def sleep(seconds: float) -> str:
    """Return after so many seconds."""
    time.sleep(seconds)
    return "slept"


@server.tool()
def leave() -> str:
    """End the server at once."""
    os._exit(7)


@server.tool()
def variable(name: str) -> str:
    """Return an environment variable of the server."""
    return os.environ.get(name, "not set")


class _WithKey:
    """Refuses requests without the key."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Request(scope).headers.get("x-key") != "secret":
            await PlainTextResponse("no key", 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def main() -> None:
    """Serve until the process is ended."""
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(_WithKey(server.streamable_http_app()), log_level="error")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
