"""The process that speaks with one MCP server: `mcp` is imported here only, and a server's flood ends here.

It reads one JSON object per line from stdin. The first is the server's entry; then {"id", "call", "arguments"} or
{"cancel": id}. It writes {"tools": […]}, {"failed": sentence}, and {"id", "text", "error"}. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
from anyio import EndOfStream
from anyio.streams.text import TextReceiveStream

from modules.plugins.tools.tool_run import LONGEST_RESULT
from modules.system.threads import host_thread

# Bytes of memory of this process, and how often it looks. A server that sends more breaks its connection.
_MOST_MEMORY = 1 << 30
_WATCH_SECONDS = 0.25
_MOST_PAGES, _MOST_TOOLS = 20, 256
# Seconds between two lists of tools that a server says have changed.
_LIST_SECONDS = 1.0
# Characters of a result. With the sentence about the rest, it is no longer than what the host lets a prompt hold.
_LONGEST = LONGEST_RESULT - 100


class WholeLines(TextReceiveStream):
    """Text in pieces that end behind a line's end. The client puts together what comes without one at each piece, and a
    line of 100 MB would take minutes."""

    async def receive(self) -> str:
        pieces = [await super().receive()]
        while "\n" not in pieces[-1]:
            try:
                pieces.append(await super().receive())
            except EndOfStream:
                break
        return "".join(pieces)


def serve() -> None:
    """Run until stdin ends or the server is gone."""
    # Nothing that a library prints may get between the lines.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(_Connection(out).run())


class _Connection:
    def __init__(self, out: Any) -> None:
        self._out = out
        self._writing = threading.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def _say(self, **values: Any) -> None:
        with self._writing:
            self._out.write(json.dumps(values) + "\n")
            self._out.flush()

    async def run(self) -> None:
        lines = _stdin_lines()
        config = json.loads(await anext(lines))
        host_thread("memory", self._watch_memory, "Watching the memory").start()
        late = f"it did not answer within {config['seconds']:g} seconds"
        clock = threading.Timer(config["seconds"], self._end, [late])
        clock.start()
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = await self._connect(config, stack)
                tools = await self._listed(client)
                clock.cancel()
                self._say(tools=tools)
                listing = asyncio.create_task(self._list_again(client, tools))
                stack.callback(listing.cancel)
                async for line in lines:
                    self._take(client, json.loads(line))
        except BaseException as error:
            self._end(_sentence(error))
        self._end()

    def _end(self, why: str = "") -> None:
        """End this process, with the server, even if a transport still waits for it."""
        if why:
            self._say(failed=why)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        os._exit(0)

    def _watch_memory(self) -> None:
        own = psutil.Process()
        while own.memory_info().rss < _MOST_MEMORY:
            time.sleep(_WATCH_SECONDS)
        self._end("it sent more than fits into memory")

    async def _connect(self, config: dict[str, Any], stack: contextlib.AsyncExitStack) -> Any:
        import httpx2
        from mcp import Client, StdioServerParameters
        from mcp.client import stdio
        from mcp.client.streamable_http import streamable_http_client
        from mcp_types import Implementation

        async def changed(message: Any) -> None:
            if type(getattr(message, "root", message)).__name__ == "ToolListChangedNotification":
                self._changed.set()

        vars(stdio)["TextReceiveStream"] = WholeLines
        target: Any
        if config["url"]:
            timeout = httpx2.Timeout(30.0, read=300.0)
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=config["headers"], timeout=timeout))
            target = streamable_http_client(config["url"], http_client=http)
        else:
            target = StdioServerParameters(
                command=config["command"],
                args=config["args"],
                env=config["env"],
                cwd=config["cwd"] or None,
                # Bytes that are no text would end the reading, and no call would be answered any more.
                encoding_error_handler="replace",
            )
        info = Implementation(name="paddock", version=config["version"])
        client: Any = Client(target, client_info=info, message_handler=changed, cache=None)
        return await stack.enter_async_context(client)

    async def _list_again(self, client: Any, tools: list[dict[str, Any]]) -> None:
        """List the tools when the server says that they changed, and say so if they did; once a second at most."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            with contextlib.suppress(Exception):
                listed = await self._listed(client)
                if listed != tools:
                    tools = listed
                    self._say(tools=tools)
            await asyncio.sleep(_LIST_SECONDS)

    async def _listed(self, client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools[: _MOST_TOOLS - len(found)]:
                facts = {"name": tool.name, "description": tool.description or tool.title or ""}
                found.append({**facts, "parameters": tool.input_schema})
            cursor = page.next_cursor
            if cursor is None or len(found) >= _MOST_TOOLS:
                break
        return found

    def _take(self, client: Any, command: dict[str, Any]) -> None:
        if "cancel" in command:
            if task := self._tasks.get(command["cancel"]):
                task.cancel()
            return
        number = command["id"]
        task = asyncio.create_task(self._call(client, number, command["call"], command["arguments"]))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _call(self, client: Any, number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            result = await client.call_tool(name, arguments)
            text, failed = _text(result), bool(result.is_error)
        except asyncio.CancelledError:
            text, failed = "The call was cancelled.", True
        except BaseException as error:
            text, failed = _sentence(error), True
        self._say(id=number, text=text[:_LONGEST], error=failed, left_out=max(0, len(text) - _LONGEST))


def _text(result: Any) -> str:
    """Return the texts of a result. Of pictures and other files, only a line says that they are there."""
    lines: list[str] = []
    for block in result.content:
        if block.type == "text":
            lines.append(block.text)
        elif block.type == "resource" and isinstance(getattr(block.resource, "text", None), str):
            lines.append(f"[{block.resource.uri}]\n{block.resource.text}")
        elif block.type == "resource_link":
            lines.append(f"[{block.name}: {block.uri}]")
        else:
            lines.append(f"[The tool returned a part of type {block.type}, which a chat cannot hold yet.]")
    if not lines and result.structured_content is not None:
        lines.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(lines)


def _sentence(error: BaseException) -> str:
    # anyio raises groups of errors, which Python 3.10 has no name for.
    while inner := getattr(error, "exceptions", ()):
        error = inner[0]
    if isinstance(error, asyncio.CancelledError):
        return "its connection ended"
    if isinstance(error, MemoryError):
        return "it sent more than fits into memory"
    if isinstance(error, FileNotFoundError):
        return f"its program was not found ({error.filename or error})"
    name = type(error).__name__
    if name == "ValidationError" and hasattr(error, "errors"):
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:2]]
        return f"what it sent breaks the rules of MCP: {'; '.join(wrong)}"
    text = " ".join(str(error).split())[:500]
    return f"{text}" if name in ("MCPError", "McpError") and text else f"{name}: {text}".rstrip(": ")


async def _stdin_lines() -> AsyncIterator[bytes]:
    """Yield the lines of stdin as they come, on every system."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(queue.put_nowait, line)
        loop.call_soon_threadsafe(queue.put_nowait, b"")

    host_thread("stdin", read, "Reading from the host").start()
    while line := await queue.get():
        yield line
