"""Split a reply, whole or as it streams, into text and tool calls."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modules.chat.tool_call_readers import Call, read_json
from modules.chat.tool_formats import Block, ToolFormat

# A reply that begins so may be a call without any marker. All of it is held back.
_BARE = ("{", "[{", "```json")
_LIST = re.compile(r"\A\[\s+")


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for. `arguments`: a JSON object, as text."""

    id: str
    name: str
    arguments: str


def new_call_id() -> str:
    """Return an id of nine letters and digits, the only form that Mistral's templates accept."""
    return uuid.uuid4().hex[:9]


class ToolCallParser:
    """Finds calls in a reply. What does not depend on how the text is cut into pieces: the joined texts, and the calls.

    `schemas`: the tools' names and the JSON schemas of their parameters. Text that may become a call is held back, and
    is passed on as text if it does not. `called`: a call was found.
    """

    def __init__(self, form: ToolFormat, schemas: Mapping[str, Mapping[str, object]]) -> None:
        self._form, self._schemas = form, schemas
        self._starts: dict[str, Block | None] = {block.start: block for block in form.blocks}
        self._starts |= dict.fromkeys(form.noise)
        self._held = self._space = ""
        self._block: Block | None = None
        self._bare = self._begun = self._after_call = False
        self.called = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Add text. Return the texts and calls that are certain now."""
        self._held += text
        found: list[str | ToolCall] = []
        while self._bare is False and self._step(found):
            continue
        return found

    def flush(self) -> list[str | ToolCall]:
        """Return what was held back, at the end of the reply."""
        found: list[str | ToolCall] = []
        if self._block is not None:
            self._close(found, self._held, "")
        elif self._bare and self._take(found, read_json(self._held, self._schemas), known=True):
            pass
        elif not self.called or self._held.strip():
            self._text(found, self._held)
        self._held = ""
        return found

    def _step(self, found: list[str | ToolCall]) -> bool:
        """Process one marker, or the text before a possible one. Return False if more text is needed."""
        if self._block is not None:
            ends = [(self._held.find(end), end) for end in self._block.ends if end in self._held]
            if not ends:
                return False
            at, end = min(ends)
            body, self._held = self._held[:at], self._held[at + len(end) :]
            self._close(found, body, end)
            return True
        if not self._begun and not self._begin():
            return False
        places = [(self._held.find(start), -len(start), start) for start in self._starts if start in self._held]
        if places:
            at, _, start = min(places)
            before, block = self._held[:at], self._starts[start]
            shown = before.rstrip() if block else before
            self._text(found, shown)
            self._space = before[len(shown) :]
            self._held, self._block = self._held[at + len(start) :], block
            return True
        keep = max((_could_begin(self._held, start) for start in self._starts), default=0)
        # White space is held back too: it belongs to a call that follows.
        shown = self._held[: len(self._held) - keep].rstrip()
        self._text(found, shown)
        self._held = self._held[len(shown) :]
        return False

    def _begin(self) -> bool:
        """Look at the beginning of the reply. Return False while it may be a call without markers."""
        first = _LIST.sub("[", self._held.lstrip())
        self._bare = first.startswith(_BARE)
        self._begun = bool(first) and not self._bare and not any(bare.startswith(first) for bare in _BARE)
        return self._begun

    def _close(self, found: list[str | ToolCall], body: str, end: str) -> None:
        """Add the calls of a block that has ended, or its text."""
        block, self._block = self._block, None
        assert block is not None
        if self._take(found, block.read(block.start + body if block.whole else body, self._schemas)):
            return
        # What is no call is text, with the white space before it.
        self._text(found, self._space)
        if block.start == "<|channel|>commentary" and "to=" not in body.partition("<|message|>")[0]:
            self._text(found, body.partition("<|message|>")[2])  # gpt-oss announces to the user what it will do.
        else:
            self._text(found, block.start + body + end)

    def _take(self, found: list[str | ToolCall], calls: Sequence[Call] | None, known: bool = False) -> bool:
        """Add calls. Return False if there are none. `known`: they count only if all are of known tools."""
        if not calls or (known and any(name not in self._schemas for name, _ in calls)):
            return False
        texts = [_arguments(arguments) for _, arguments in calls]
        if None in texts:
            return False
        found += [ToolCall(new_call_id(), name, text or "") for (name, _), text in zip(calls, texts, strict=True)]
        self.called = self._after_call = True
        return True

    def _text(self, found: list[str | ToolCall], text: str) -> None:
        if self._after_call:
            text = text.lstrip()
        if text:
            self._after_call = False
            found.append(text)


def _arguments(value: object) -> str | None:
    """Return the arguments of a call as the text of a JSON object, or None if they are none."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except (ValueError, RecursionError):
            return None
    if value is None:
        value = {}
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else None


def _could_begin(text: str, marker: str) -> int:
    """Return the length of the longest end of `text` that is the beginning of `marker`, but not all of it."""
    longest = min(len(marker) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if text.endswith(marker[:length])), 0)
