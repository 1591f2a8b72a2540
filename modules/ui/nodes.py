"""The routes of machines that join with `node join`, and of the Model tab's list of them: /paddock/models/nodes.

The admin key opens them (modules/api/authentication.py). A node keeps the answer of `join` open: a stream of JSON
lines, which are what the node is to do, and signs of life.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.files.data_files import fix_surrogates
from modules.loading.nodes.model_files import served_file
from modules.loading.nodes.node_facts import read_facts
from modules.loading.nodes.registry import BEAT_SECONDS, Message, Node, NodeRegistry, describe_node

if TYPE_CHECKING:
    from modules.app import App

Text = Annotated[str, AfterValidator(fix_surrogates)]


class NodeRequest(BaseModel):
    """A machine, by its name, or by its id where it asks for a model's file itself."""

    name: Text = ""
    node: Text = ""
    model: Text = ""
    file: Text = ""


def node_states(app: App) -> list[list[str]]:
    """Return [name, why it is lost, what it does] of each machine. It changes when the list has to be read again."""
    return [[node.name, node.lost, node.doing] for node in app.nodes.registry.nodes]


def add_node_routes(routes: APIRouter, app: App) -> None:
    """Add the routes, and send each change of the machines to the page."""
    registry = app.nodes.registry
    app.at_close.callback(registry.changes.add(app.supervisor.state_store.publish))

    @routes.get("/models/nodes")
    def listed() -> list[dict[str, object]]:
        return [describe_node(node) for node in registry.nodes]

    @routes.post("/models/nodes/remove")
    def remove(request: NodeRequest) -> None:
        registry.remove(request.name)

    @routes.post("/models/nodes/join")
    async def join(body: dict[str, object]) -> StreamingResponse:
        messages: asyncio.Queue[Message] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def send(message: Message) -> None:
            # The loop is closed when the last loads end.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(messages.put_nowait, message)

        node = await asyncio.to_thread(registry.join, read_facts(body), send)
        return StreamingResponse(_stream(registry, node, messages), media_type="application/x-ndjson")

    @routes.post("/models/nodes/report")
    def report(body: dict[str, object]) -> None:
        registry.report(str(body.get("node")), body)

    @routes.post("/models/nodes/file")
    def file(request: NodeRequest) -> FileResponse:
        """Send a file of a model to a machine that is to hold a part of it."""
        registry.find(request.node)
        return FileResponse(served_file(Path(app.library.facts(request.model).path), request.file))


async def _stream(registry: NodeRegistry, node: Node, messages: asyncio.Queue[Message]) -> AsyncIterator[bytes]:
    """Yield what the node is to do. The end of the stream, on whichever side, is the end of the node."""
    try:
        yield _line({"type": "joined", "node": node.id, "name": node.name})
        message: Message = {}
        while message.get("type") not in ("lost", "removed"):
            try:
                message = await asyncio.wait_for(messages.get(), BEAT_SECONDS)
            except asyncio.TimeoutError:
                if node.silent:
                    await asyncio.to_thread(registry.lose_silent, node)
                message = {"type": "beat"}
            yield _line(message)
    finally:
        # Not awaited, because a stream that was cut off may wait for nothing.
        asyncio.get_running_loop().run_in_executor(None, registry.leave, node)


def _line(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"
