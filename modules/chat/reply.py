"""A reply from its request to its end: one text of the model, or several with calls of tools between them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modules.chat.messages import Message
from modules.chat.parts import Part
from modules.chat.parts_reader import USUAL, PartsReader
from modules.chat.tool_calls import ToolCalls
from modules.generation.generation import Generation

# Fields of events.Finished that are stored with a message.
_FINISHED_FIELDS = (
    "reason",
    "prompt_tokens",
    "cached_tokens",
    "cut_tokens",
    "generated_tokens",
    "prefill_seconds",
    "decode_seconds",
    "seed",
    "drafted_tokens",
    "accepted_tokens",
    "served_by",
)
# Of these, a reply with calls of tools has the sum over its rounds.
_SUMMED = ("generated_tokens", "prefill_seconds", "decode_seconds", "drafted_tokens", "accepted_tokens")


@dataclass(eq=False)
class Reply:
    """A reply from its request to its end. `generation` is None while its prompt is made.

    A reply with calls of tools has several rounds, each with a generation. `earlier`: the parts of the rounds before,
    and of the part of a reply that is not continued itself. `path`: the messages before it. `calls`: those of the
    present round while they run.
    `reader`: splits the text that arrives into parts. `meta` is known at the start.

    `over` is set when the reply has ended and was stored, or storing it failed.
    `on_end` is called when the generation has ended, before the reply counts as done. It runs tools and begins the next
    round, and then returns True; or it runs hooks of extensions, which set `final`, the parts to show of this round.
    `on_over` is called when it has ended and was stored, just before `over` is set.
    `problem`: a sentence that says why its text is only in memory.
    """

    chat_id: str
    message_id: str = ""
    reader: PartsReader = field(default_factory=lambda: PartsReader(USUAL))
    generation: Generation | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    on_end: Callable[[Reply], bool] | None = None
    on_over: Callable[[], None] | None = None
    ending: bool = False
    final: tuple[Part, ...] | None = None
    earlier: tuple[Part, ...] = ()
    path: list[Message] = field(default_factory=list)
    calls: ToolCalls | None = None
    over: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    # Counts what changed apart from text that arrived, so that pages draw the reply again.
    changes: int = 0
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _length: int = 0
    _spent: dict[str, Any] = field(default_factory=dict)

    @property
    def stopping(self) -> bool:
        """Return True once the user has stopped the reply."""
        return self.stopped.is_set()

    @property
    def done(self) -> bool:
        """Return True if no more text will arrive, no tool runs, and the hooks have run."""
        return self.generation is not None and self.generation.done and self.on_end is None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the whole message: the parts that it continues, and what has arrived."""
        return (*self.earlier, *self.round_parts)

    @property
    def round_parts(self) -> tuple[Part, ...]:
        """Return the parts of the present round, with the results of its tools so far."""
        if self.final is not None:
            return self.final
        self.read()
        return (*self.reader.parts(), *(self.calls.results() if self.calls else ()))

    def asked(self) -> dict[str, tuple[str, str]]:
        """Return (state, where the tool comes from) of the calls that ask or run, by their ids."""
        calls = self.calls
        return calls.states() if calls else {}

    def read(self) -> None:
        """Give the text that has arrived since the last call to the reader."""
        with self._reading:
            generation = self.generation
            if generation is None:
                return
            done, tokens = generation.done, generation.tokens
            fresh = generation.text[self._length :]
            if fresh:
                self._length += len(fresh)
                self.reader.feed(fresh, tokens)
            if done:
                self.reader.finish()

    def next_round(
        self,
        generation: Generation,
        reader: PartsReader,
        meta: dict[str, Any],
        on_end: Callable[[Reply], bool] | None,
    ) -> None:
        """Continue with another generation. What there is of the reply stays before it."""
        parts, spent = self.parts, self.current_meta()
        with self._reading:
            self.earlier, self.calls, self.final = parts, None, None
            self._spent = {name: spent.get(name) or 0 for name in _SUMMED}
            notes = [*self.meta.get("notes", ()), *meta.get("notes", ())]
            self.meta = {**self.meta, **meta, **({"notes": list(dict.fromkeys(notes))} if notes else {})}
            # Before the generation: one that has ended is not done while something is left to do.
            self.on_end = on_end
            self.reader, self.generation, self._length = reader, generation, 0

    def current_meta(self) -> dict[str, Any]:
        """Return the message's present meta. It is complete once the reply is done."""
        meta: dict[str, Any] = dict(self.meta)
        generation = self.generation
        if generation is not None and generation.finished is not None:
            finished = generation.finished
            for name in _FINISHED_FIELDS:
                meta[name] = getattr(finished, name)
            meta["stopped"] = finished.reason == "cancelled"
            if remark := generation.empty_reply_note:
                meta["notes"] = [*meta.get("notes", ()), remark]
        elif generation is not None and generation.error is not None:
            error = generation.error
            meta.update(
                reason="error",
                error=error.message,
                detail=error.detail,
                code=error.code,
                lower=list(error.lower),
                generated_tokens=generation.tokens,
                stopped=False,
            )
        for name, spent in self._spent.items():
            meta[name] = (meta.get(name) or 0) + spent
        if self.problem:
            meta["unsaved"] = self.problem
        return meta
