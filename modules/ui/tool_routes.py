"""The page's routes about tools: what there is, what is on in a chat, and what may run without asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel

from modules.files.data_files import fix_surrogates
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.toolbox import OWN, SourceState
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.app import App

# A text without halves of characters, which cannot be stored.
Text = Annotated[str, AfterValidator(fix_surrogates)]


class ToolRequest(BaseModel):
    """A change of one tool. `chat`: an id, or "" for new chats."""

    chat: Text = ""
    key: Text = ""
    on: bool = False


def add_tool_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/tools."""

    def shown(chat: str) -> dict[str, object]:
        """Return everything that the page shows about tools in this chat, or without an id in new chats."""
        toolbox = app.toolbox
        on, choices = set(toolbox.choices.switched_on(chat)), toolbox.choices

        def tool(one: Tool) -> dict[str, Any]:
            facts = {"key": one.key, "name": one.name, "description": one.description, "on": one.key in on}
            always = one.key in choices.always()
            return {**facts, "asks": not choices.allows(chat, one.key), "always": always}

        def source(state: SourceState) -> dict[str, object]:
            return {
                "title": state.title,
                "state": state.state,
                "note": state.note,
                "warning": state.warning,
                "server": state.server,
                "tools": [tool(one) for one in state.tools],
            }

        sources = [source(state) for state in _joined(toolbox.states())]
        return {"sources": sources, "on": len(on), "must_call": choices.must_call(chat)}

    @routes.get("/tools/on")
    def count(chat: str = "") -> dict[str, int]:
        """Return how many tools are on, without starting any server."""
        return {"on": len(app.toolbox.choices.switched_on(chat))}

    @routes.get("/tools")
    def listed(chat: str = "") -> dict[str, object]:
        return shown(chat)

    @routes.post("/tools/switch")
    def switch(request: ToolRequest) -> dict[str, object]:
        app.toolbox.choices.switch(request.chat, request.key, request.on)
        return shown(request.chat)

    @routes.post("/tools/must-call")
    def must_call(request: ToolRequest) -> dict[str, Any]:
        """Let each reply begin with a call of a tool, or not."""
        app.toolbox.choices.set_must_call(request.chat, request.on)
        return shown(request.chat)

    @routes.post("/tools/restart")
    def restart(request: ToolRequest) -> dict[str, object]:
        """Start the MCP server named `key` again."""
        if not app.may_manage:
            raise PaddockError("Only an admin may do this. Ask the person who runs this Paddock.")
        app.mcp.restart(request.key)
        return shown(request.chat)

    @routes.post("/tools/ask")
    def ask_again(request: ToolRequest) -> dict[str, object]:
        app.toolbox.choices.ask_again(request.chat, request.key)
        return shown(request.chat)


def _joined(states: list[SourceState]) -> list[SourceState]:
    """Return the sources, with Paddock's own tools as one."""
    own = [state for state in states if state.title == OWN]
    joined = SourceState(OWN, tuple(tool for state in own for tool in state.tools))
    return [joined, *(state for state in states if state.title != OWN)]
