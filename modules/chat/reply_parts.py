"""Split an answer into reasoning, content and tool calls, as OpenAI's API sends them: whole or streamed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modules.chat.parts import REASONING
from modules.chat.parts_reader import reply_markers, split_reply
from modules.chat.tool_call_parser import ToolCall, ToolCallParser
from modules.chat.tool_formats import call_format
from modules.families.reasoning import ReasoningSplitter, ReplyPart


class ReplyParts:
    """Takes the text of one reply and returns deltas: objects with `reasoning_content`, `content` or `tool_calls`.

    `template`: the model's chat template; `calls_template`: the one that showed the tools, None for the same.
    `schemas`: names and parameters of the tools; without any, nothing is a call.
    `several`: a reply may have more than one call. `strip`: leave out white space before the content.
    """

    def __init__(
        self,
        template: str,
        schemas: Mapping[str, Mapping[str, object]],
        several: bool = True,
        strip: bool = False,
        calls_template: str | None = None,
    ) -> None:
        self._markers = reply_markers(template)
        self._splitter = ReasoningSplitter(self._markers)
        calls = template if calls_template is None else calls_template
        self._tools = ToolCallParser(call_format(calls), schemas) if schemas else None
        self._several = several
        self._calls = 0
        self._space = ""
        # Reasoning has begun; it has text; the answer has text.
        self._reasoned = self._thought = self._content = False
        self._strip = strip

    @property
    def called(self) -> bool:
        """True if the reply has tool calls."""
        return self._calls > 0

    def feed(self, text: str) -> list[dict[str, object]]:
        """Add text. Return the deltas that are certain now."""
        return self._deltas(self._splitter.feed(text))

    def flush(self) -> list[dict[str, Any]]:
        """Return what was held back, at the end of the reply."""
        deltas = self._deltas(self._splitter.flush())
        return deltas + (self._answer(self._tools.flush()) if self._tools else [])

    def message(self, text: str) -> dict[str, Any]:
        """Return a whole reply as a message."""
        found: dict[str, Any] = {"role": "assistant", "content": ""}
        for delta in [*self.feed(self._with_start(text)), *self.flush()]:
            for key in ("content", "reasoning_content"):
                if key in delta:
                    found[key] = found.get(key, "") + delta[key]
            for call in delta.get("tool_calls", ()):
                calls = found.setdefault("tool_calls", [])
                if "id" in call:
                    calls.append({key: value for key, value in call.items() if key != "index"})
                else:
                    calls[-1]["function"]["arguments"] += call["function"]["arguments"]
        if self.called and not found["content"]:
            found["content"] = None
        return found

    def _with_start(self, text: str) -> str:
        """Return a reply with the start of its reasoning, where it has the end alone."""
        first = next(iter(split_reply(text, self._markers)), None)
        if first is None or first.kind != REASONING or first.meta["before"]:
            return text
        after = first.meta["after"]
        return next(pair.start for pair in self._markers if after.startswith(pair.end)) + text

    def _deltas(self, parts: Iterable[ReplyPart]) -> list[dict[str, object]]:
        deltas: list[dict[str, object]] = []
        for part in parts:
            if part.marker and not part.stray:
                continue
            if part.reasoning:
                deltas += self._reasoning(part.text)
            else:
                deltas += self._answer(self._tools.feed(part.text) if self._tools else [part.text])
        return deltas

    def _reasoning(self, text: str) -> list[dict[str, object]]:
        """Return reasoning without the white space around it."""
        self._reasoned = True
        text = self._space + text
        text = text if self._thought else text.lstrip()
        shown = text.rstrip()
        self._space = text[len(shown) :]
        self._thought = self._thought or bool(shown)
        return [{"reasoning_content": shown}] if shown else []

    def _answer(self, parts: Iterable[str | ToolCall]) -> list[dict[str, object]]:
        deltas: list[dict[str, object]] = []
        for part in parts:
            if isinstance(part, ToolCall):
                deltas += self._call(part)
                continue
            # Between reasoning and answer models write empty lines.
            text = part.lstrip() if (self._reasoned or self._strip) and not self._content else part
            if text:
                self._content = True
                deltas.append({"content": text})
        return deltas

    def _call(self, call: ToolCall) -> list[dict[str, object]]:
        """Return the deltas of a call: its name, then its arguments."""
        index = self._calls
        if index and not self._several:
            return []
        self._calls += 1
        name = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        return [{"tool_calls": [name]}, {"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]}]
