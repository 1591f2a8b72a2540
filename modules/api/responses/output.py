"""Build the output of a response from the parts of a reply, with the events that a stream sends for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

# An event's type and its fields.
Event = tuple[str, dict[str, object]]
# An item's type -> (the beginning of its id, the part that holds its text).
_TEXTS: dict[str, tuple[str, dict[str, object]]] = {
    "reasoning": ("rs", {"type": "reasoning_text", "text": ""}),
    "message": ("msg", {"type": "output_text", "text": "", "annotations": [], "logprobs": []}),
}


class OutputItems:
    """Takes the deltas of ReplyParts. `items`: the output so far."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open = ""

    def feed(self, delta: dict[str, Any]) -> Iterator[Event]:
        """Add a delta, and yield its events."""
        for key, kind in (("reasoning_content", "reasoning"), ("content", "message")):
            if text := delta.get(key):
                yield from self._add_text(kind, text)
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                yield from self.close()
                name = call["function"]["name"]
                yield from self._begin("function_call", "fc", call_id=call["id"], name=name, arguments="")
            elif arguments := call["function"]["arguments"]:
                self.items[-1]["arguments"] += arguments
                yield self._event("response.function_call_arguments.delta", delta=arguments)

    def close(self, status: str = "completed") -> Iterator[Event]:
        """End the open item, and yield its events. `status`: completed or incomplete."""
        kind, self._open = self._open, ""
        if not kind:
            return
        item = self.items[-1]
        item["status"] = status
        if kind == "function_call":
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield self._event("response.function_call_arguments.done", **done)
        else:
            part = item["content"][0]
            more = {"logprobs": part["logprobs"]} if kind == "message" else {}
            yield self._event(f"response.{part['type']}.done", content_index=0, text=part["text"], **more)
            yield self._event("response.content_part.done", content_index=0, part=part)
        yield "response.output_item.done", {"output_index": len(self.items) - 1, "item": item}

    def _add_text(self, kind: str, text: str) -> Iterator[Event]:
        prefix, empty = _TEXTS[kind]
        if self._open != kind:
            yield from self.close()
            more: dict[str, Any] = {"role": "assistant"} if kind == "message" else {"summary": []}
            yield from self._begin(kind, prefix, **more, content=[])
            part = {**empty}
            yield self._event("response.content_part.added", content_index=0, part=part)
            self.items[-1]["content"].append(part)
        part = self.items[-1]["content"][0]
        part["text"] += text
        more = {"logprobs": []} if kind == "message" else {}
        yield self._event(f"response.{part['type']}.delta", content_index=0, delta=text, **more)

    def _begin(self, kind: str, prefix: str, **fields: object) -> Iterator[Event]:
        self._open = kind
        self.items.append({"id": f"{prefix}_{uuid.uuid4().hex}", "type": kind, "status": "in_progress", **fields})
        yield "response.output_item.added", {"output_index": len(self.items) - 1, "item": self.items[-1]}

    def _event(self, kind: str, **fields: object) -> Event:
        return kind, {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1, **fields}
