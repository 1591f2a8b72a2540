"""The tool `read_attachment`: the text of a document that the user attached to this chat, in parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from modules.chat.parts import DOCUMENT
from modules.plugins.tools.tool import Tool, ToolError
from modules.plugins.tools.toolbox import OWN, SourceState

if TYPE_CHECKING:
    from modules.chat.service import ChatService

# Characters of one answer. The model asks for the rest with `start`.
_LONGEST = 12_000
_PARAMETERS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "The document's name; not needed if there is one"},
        "start": {"type": "integer", "description": "The character to begin at, for the rest of a long document"},
    },
}


class AttachmentTool:
    """The tool for each chat. `chats` returns the service that knows their messages and files."""

    def __init__(self, chats: Callable[[], ChatService]) -> None:
        self._chats = chats

    def tools(self, keys: Sequence[str], chat_id: str) -> Sequence[Tool]:
        """Return the tool for this chat."""
        return [self._tool(chat_id)]

    def problems(self, keys: Sequence[str]) -> Sequence[str]:
        """Return nothing: it can always be called."""
        return ()

    def states(self) -> Sequence[SourceState]:
        """Return what the page shows."""
        return [SourceState(OWN, (self._tool(""),))]

    def _tool(self, chat_id: str) -> Tool:
        return Tool(
            "read_attachment",
            "paddock/read_attachment",
            "Paddock",
            "Read a document that the user attached to this chat: all of it, in parts. Use it where the message holds "
            "passages only.",
            partial(self._read, chat_id),
            _PARAMETERS,
        )

    def _read(self, chat_id: str, arguments: Mapping[str, object], stopped: threading.Event) -> str:
        name, start = arguments.get("name") or "", arguments.get("start") or 0
        if not isinstance(name, str) or isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise ToolError("'name' must be a text, and 'start' a whole number from 0.")
        service = self._chats()
        parts = [part for message in service.messages(chat_id) for part in message.parts if part.kind == DOCUMENT]
        found = {part.text: str(part.meta["hash"]) for part in parts}
        if not found:
            raise ToolError("No document is attached to this chat.")
        if not name and len(found) == 1:
            (name,) = found
        if name not in found:
            raise ToolError(f"There is no document named {name[:100]!r}. The documents are: {', '.join(found)}.")
        text = service.attachments.text(found[name], name).text
        if start and start >= len(text):
            raise ToolError(f"The document has {len(text):,} characters, so there is nothing from {start:,} on.")
        shown = text[start : start + _LONGEST]
        rest = len(text) - start - len(shown)
        more = f"\n[{rest:,} more characters. Call again with start={start + len(shown)} for them.]" if rest else ""
        return f"{shown}{more}"
