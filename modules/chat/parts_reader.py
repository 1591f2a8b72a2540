"""Split a reply into reasoning, text and calls of tools, whole or while it streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.chat.parts import REASONING, TEXT, TOOL_CALL, Part, raw_text
from modules.chat.tool_call_parser import ToolCall, ToolCallParser
from modules.families.reasoning import Markers, ReasoningSplitter, ReplyPart, find_markers

# Of a model whose template names none, such as one on a server.
USUAL = (Markers("<think>", "</think>"),)
# So many characters at the beginning of a stored text are searched for a marker.
_HEAD = 200


def reply_markers(template: str) -> tuple[Markers, ...]:
    """Return the markers of reasoning in replies of a model with this chat template."""
    return find_markers(template) or USUAL


def split_reply(text: str, markers: Sequence[Markers]) -> tuple[Part, ...]:
    """Return the parts of a whole reply. Their `raw`, joined, is `text`."""
    reader = PartsReader(markers)
    reader.feed(text)
    reader.finish()
    return reader.parts()


def split_stored(text: str) -> tuple[Part, ...]:
    """Return the parts of a reply whose model is not known: the reasoning that it begins with, and the rest."""
    head = text.lstrip()[:_HEAD]
    return split_reply(text, [pair for pair in find_markers(head) if head.startswith(pair.start)])


@dataclass
class _Growing:
    """A part that may still grow. `since`: (seconds, tokens) of the clock and the reply when it began to be written.

    `call`: the whole tool call, for a part of that kind.
    """

    kind: str
    pieces: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""
    seconds: float | None = None
    tokens: int = 0
    since: tuple[float, int] | None = None
    call: ToolCall | None = None

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def measured(self, now: float, tokens: int) -> tuple[float | None, int]:
        if self.since is None:
            return self.seconds, self.tokens
        begun, before = self.since
        return (self.seconds or 0.0) + now - begun, self.tokens + tokens - before

    def stop(self, now: float, tokens: int) -> None:
        self.seconds, self.tokens = self.measured(now, tokens)
        self.since = None


class PartsReader:
    """Takes the text of one reply as it arrives, and returns its parts. Thread-safe.

    `before`: the parts of the reply that is continued. `calls`: makes a parser of tool calls.
    """

    def __init__(
        self,
        markers: Sequence[Markers],
        before: Sequence[Part] = (),
        clock: Callable[[], float] = time.monotonic,
        calls: Callable[[], ToolCallParser] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._markers = markers
        self._new_calls = calls
        self._calls = calls() if calls else None
        self._tokens = 0
        self._parts = [_grown(part) for part in before]
        open_part = self._parts[-1] if self._parts and _is_open(self._parts[-1]) else None
        start = open_part.before.strip() if open_part else ""
        pairs = [pair for pair in (*markers, *find_markers(start)) if pair.start == start]
        self._splitter = ReasoningSplitter(markers, pairs[0] if pairs else None, raw_text(before))

    @property
    def is_thinking(self) -> bool:
        """True while reasoning is being written, or may begin: until the first text."""
        return not self._parts or self._parts[-1].kind == REASONING

    def split(self, text: str) -> tuple[Part, ...]:
        """Return the parts of another text of the same model."""
        return split_reply(text, self._markers)

    def feed(self, text: str, tokens: int = 0) -> None:
        """Add text. `tokens`: how many the model has generated so far; 0 for text that it did not write."""
        with self._lock:
            self._tokens = tokens
            for part in self._splitter.feed(text):
                self._add(part)
            last = self._parts[-1] if self._parts else None
            if tokens and last and _is_open(last) and last.since is None:
                # The tokens of the first piece are part of it.
                last.since = self._clock(), 0 if len(self._parts) == 1 else tokens

    def finish(self) -> None:
        """Add what was held back, at the end of the reply. Safe to call twice."""
        with self._lock:
            for part in self._splitter.flush():
                self._add(part)
            if self._calls:
                self._add_answer(self._calls.flush())
                self._calls = self._new_calls() if self._new_calls else None
            if self._parts:
                self._parts[-1].stop(self._clock(), self._tokens)

    def parts(self) -> tuple[Part, ...]:
        """Return the parts so far, without text that may become a marker."""
        with self._lock:
            now = self._clock()
            return tuple(self._part(part, now) for part in self._parts)

    def _part(self, part: _Growing, now: float) -> Part:
        if part.call:
            return Part(TOOL_CALL, part.call.arguments, {"id": part.call.id, "name": part.call.name})
        if part.kind != REASONING:
            return Part(part.kind, part.text)
        meta: dict[str, Any] = {"before": part.before, "after": part.after}
        seconds, tokens = part.measured(now, self._tokens)
        if seconds is not None:
            meta |= {"seconds": round(seconds, 2), "tokens": tokens}
        return Part(REASONING, part.text, meta)

    def _add(self, piece: ReplyPart) -> None:
        last = self._parts[-1] if self._parts else None
        if piece.marker:
            self._mark(piece, last)
        elif piece.reasoning:
            self._open(REASONING, last).pieces.append(piece.text)
        else:
            text = piece.text
            if last and last.kind == REASONING:
                # Between reasoning and answer models write empty lines.
                space = text[: len(text) - len(text.lstrip())]
                last.after += space
                text = text[len(space) :]
            if text:
                self._add_answer(self._calls.feed(text) if self._calls else [text])

    def _add_answer(self, found: Sequence[str | ToolCall]) -> None:
        for piece in found:
            if isinstance(piece, ToolCall):
                self._parts.append(_Growing(TOOL_CALL, call=piece))
            elif piece:
                self._open(TEXT, self._parts[-1] if self._parts else None).pieces.append(piece)

    def _mark(self, piece: ReplyPart, last: _Growing | None) -> None:
        if piece.reasoning:  # it ends the reasoning
            if last:
                last.after += piece.text
                last.stop(self._clock(), self._tokens)
        elif piece.stray:
            # The prompt began the reasoning, so all before its end is reasoning.
            if self._calls and self._new_calls:
                self._add_answer([held for held in self._calls.flush() if isinstance(held, str)])
                self._calls = self._new_calls()
            texts = [part.text for part in self._parts if part.kind == TEXT]
            self._parts = [_Growing(REASONING, ["".join(texts)], after=piece.text)]
        else:
            before = piece.text
            if last and last.kind == TEXT and not last.text.strip():
                before = last.text + before
                self._parts.pop()
            self._parts.append(_Growing(REASONING, before=before))

    def _open(self, kind: str, last: _Growing | None) -> _Growing:
        if last is None or last.kind != kind:
            last = _Growing(kind)
            self._parts.append(last)
        return last


def _grown(part: Part) -> _Growing:
    meta = part.meta
    before, after = str(meta.get("before", "")), str(meta.get("after", ""))
    return _Growing(part.kind, [part.text], before, after, meta.get("seconds"), int(meta.get("tokens") or 0))


def _is_open(part: _Growing) -> bool:
    return part.kind == REASONING and not part.after
