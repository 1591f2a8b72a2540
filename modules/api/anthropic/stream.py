"""Send a reply as the events of Anthropic's API: a message of blocks, each started, filled and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from typing import Any

from modules.api.anthropic.answer import anthropic_error, message_head, message_usage, message_warnings, stop
from modules.api.openai_format import OpenAIAnswer
from modules.api.openai_stream import reply_deltas
from modules.generation.generation import Generation
from modules.ui.sse import sse_event

# While no text arrives, a ping is sent this often.
PING_SECONDS = 10.0


async def message_events(
    answer: OpenAIAnswer, generation: Generation, ping_seconds: float = PING_SECONDS
) -> AsyncIterator[bytes]:
    """Yield the events of a message until its end, or until an error."""
    parts, blocks = answer.parts(), _Blocks()
    assert parts is not None
    yield _event("message_start", message=message_head(answer, generation))
    yield _event("ping")
    async with aclosing(_with_pings(reply_deltas(parts, generation), ping_seconds)) as deltas:  # type: ignore[type-var]
        async for delta in deltas:
            for event in blocks.feed(delta) if delta else [_event("ping")]:
                yield event
    if generation.error is not None:
        yield sse_event(anthropic_error(generation.error), "error")
        return
    for event in blocks.close():
        yield event
    warnings = message_warnings(answer, generation)
    more: dict[str, Any] = {"warnings": warnings} if warnings else {}
    yield _event("message_delta", delta=stop(generation, parts), usage=message_usage(generation), **more)
    yield _event("message_stop")


def _event(kind: str, **fields: object) -> bytes:
    return sse_event({"type": kind, **fields}, kind)


class _Blocks:
    """Turns the deltas of ReplyParts into events of blocks."""

    def __init__(self) -> None:
        self._index = -1
        # The kind of the block that is open, or "".
        self._open = ""

    def feed(self, delta: dict[str, Any]) -> Iterator[bytes]:
        """Yield the events for one delta."""
        if text := delta.get("reasoning_content"):
            yield from self._begin("thinking", {"thinking": "", "signature": ""})
            yield self._delta("thinking_delta", thinking=text)
        if text := delta.get("content"):
            yield from self._begin("text", {"text": ""})
            yield self._delta("text_delta", text=text)
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                yield from self.close()
                yield from self._begin("tool_use", {"id": call["id"], "name": call["function"]["name"], "input": {}})
            elif arguments := call["function"]["arguments"]:
                yield self._delta("input_json_delta", partial_json=arguments)

    def close(self) -> Iterator[bytes]:
        """Yield the events that end the open block."""
        if self._open:
            if self._open == "thinking":
                yield self._delta("signature_delta", signature="")
            yield _event("content_block_stop", index=self._index)
        self._open = ""

    def _begin(self, kind: str, block: dict[str, object]) -> Iterator[bytes]:
        if self._open != kind:
            yield from self.close()
            self._open = kind
            self._index += 1
            yield _event("content_block_start", index=self._index, content_block={"type": kind, **block})

    def _delta(self, kind: str, **fields: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **fields})


async def _with_pings(deltas: AsyncIterator[dict[str, object]], seconds: float) -> AsyncIterator[dict[str, object]]:
    """Yield the deltas, and {} after each `seconds` without one."""

    async def following() -> dict[str, object] | None:
        return await anext(deltas, None)

    async with aclosing(deltas):  # type: ignore[type-var]
        while True:
            waiting = asyncio.create_task(following())
            try:
                while not (await asyncio.wait({waiting}, timeout=seconds))[0]:
                    yield {}
            finally:
                if not waiting.done():
                    waiting.cancel()
                    with suppress(asyncio.CancelledError):
                        await waiting
            delta = waiting.result()
            if delta is None:
                return
            yield delta
