"""Send a generation to an API client, as a stream of server-sent events or once it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request

from modules.api.error_status import error_body
from modules.api.openai_format import OpenAIAnswer, end_notes, finish_reason
from modules.api.token_logprobs import TokenLogprobs
from modules.chat.reply_parts import ReplyParts
from modules.generation.generation import Generation
from modules.ui.sse import ThreadWaker, sse_event

DONE = b"data: [DONE]\n\n"


async def stream_answer(answer: OpenAIAnswer, generation: Generation) -> AsyncIterator[bytes]:
    """Yield the chunks of an answer as text arrives, then the reason, the usage if asked for, and [DONE]."""
    parts, logprobs = answer.parts(), _NewLogprobs(answer, generation)
    first = True
    if answer.echo:
        yield sse_event(answer.chunk({"content": answer.echo}, first=first, logprobs=logprobs.of_prompt()))
    async with aclosing(reply_deltas(parts, generation)) as deltas:  # type: ignore[type-var]
        async for delta in deltas:
            yield sse_event(answer.chunk(delta, first=first, logprobs=logprobs.take()))
            first = False
    end = b""
    if generation.error is not None:
        end += sse_event(error_body(generation.error))
    else:
        assert generation.finished is not None
        last = answer.chunk({}, finish_reason(generation.finished, parts), first, logprobs.take())
        if notes := end_notes(generation):
            last["warnings"] = [*last.get("warnings", ()), *notes]
        end += sse_event(last)
        if answer.options.usage_in_stream:
            end += sse_event(answer.usage_chunk(generation))
    # One write, as each wakes the client.
    yield end + DONE


class _NewLogprobs:
    """The log-probabilities for each chunk of a stream, or None for a client that wants none."""

    def __init__(self, answer: OpenAIAnswer, generation: Generation) -> None:
        self._answer, self._generation = answer, generation
        self._format = TokenLogprobs(answer.is_chat)
        self._sent = 0

    def of_prompt(self) -> dict[str, object] | None:
        """Return those of the prompt."""
        return self._format.format(self._answer.prompt_logprobs) if self._answer.options.logprobs >= 0 else None

    def take(self) -> dict[str, object] | None:
        """Return those of tokens that arrived since the last call."""
        new = self._generation.logprobs[self._sent :]
        self._sent += len(new)
        return self._format.format(new) if new and self._answer.options.logprobs >= 0 else None


async def reply_deltas(parts: ReplyParts | None, generation: Generation) -> AsyncIterator[dict[str, object]]:
    """Yield the deltas of a reply as its text arrives, until the generation ends or fails.

    `parts`: what splits the reply of a chat; without it, each delta is {"content": text}.
    """
    sent = 0

    def split(text: str) -> list[dict[str, Any]]:
        return parts.feed(text) if parts else [{"content": text}]

    async with aclosing(_arrivals(generation)) as arrivals:  # type: ignore[type-var]
        async for _ in arrivals:
            text = generation.text
            for delta in split(text[sent:]) if len(text) > sent else ():
                yield delta
            sent = len(text)
    if generation.error is None:
        rest = generation.final_text[sent:] if generation.final_text.startswith(generation.text) else ""
        for delta in [*(split(rest) if rest else ()), *(parts.flush() if parts else ())]:
            yield delta


async def wait_until_done(generation: Generation, request: Request) -> None:
    """Wait until the generation ends. Cancel it if the client hangs up first."""

    async def cancel_on_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        generation.cancel()

    watch = asyncio.create_task(cancel_on_disconnect())
    try:
        async with aclosing(_arrivals(generation)) as arrivals:  # type: ignore[type-var]
            async for _ in arrivals:
                continue
    finally:
        watch.cancel()


async def _arrivals(generation: Generation) -> AsyncIterator[None]:
    """Yield after text arrived, and once more at the end. A reader that stops early cancels the generation."""
    waker = ThreadWaker()
    unsubscribe = generation.on_change(lambda: waker.notify("text"))
    try:
        while not generation.done:
            await waker.wait()
            yield
        yield
    finally:
        unsubscribe()
        if not generation.done:
            generation.cancel()
