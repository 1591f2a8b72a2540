"""Send a generation to an API client, as a stream of server-sent events or once it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request

from modules.api.error_status import error_body
from modules.api.openai_format import OpenAIAnswer, end_notes, finish_reason
from modules.generation.generation import Generation
from modules.ui.sse import ThreadWaker, sse_event


async def stream_answer(answer: OpenAIAnswer, generation: Generation) -> AsyncIterator[bytes]:
    """Yield the chunks of an answer as text arrives, then the reason, the usage if asked for, and [DONE]."""
    sent = 0
    parts = answer.parts()
    first = True
    if answer.echo:
        yield sse_event(answer.chunk({"content": answer.echo}, first=first))

    def split(text: str) -> list[dict[str, Any]]:
        return parts.feed(text) if parts else [{"content": text}]

    async with aclosing(_arrivals(generation)) as arrivals:  # type: ignore[type-var]
        async for _ in arrivals:
            text = generation.text
            for part in split(text[sent:]) if len(text) > sent else ():
                yield sse_event(answer.chunk(part, first=first))
                first = False
            sent = len(text)
    if generation.error is not None:
        yield sse_event(error_body(generation.error))
    else:
        assert generation.finished is not None
        rest = generation.final_text[sent:] if generation.final_text.startswith(generation.text) else ""
        for part in [*(split(rest) if rest else ()), *(parts.flush() if parts else ())]:
            yield sse_event(answer.chunk(part, first=first))
            first = False
        last = answer.chunk({}, finish_reason(generation.finished, parts), first)
        if notes := end_notes(generation):
            last["warnings"] = [*last.get("warnings", ()), *notes]
        yield sse_event(last)
        if answer.options.usage_in_stream:
            yield sse_event(answer.usage_chunk(generation))
    yield b"data: [DONE]\n\n"


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
