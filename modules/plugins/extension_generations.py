"""Generations that extensions take part in: written in place of the model, or rewritten on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from modules.generation.generation import Generation
from modules.plugins.hook_calls import HookedExtension
from modules.plugins.pipeline import Pipeline
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.system.threads import host_thread


def answer(
    pipeline: Pipeline,
    member: HookedExtension,
    given: str | Iterator[str],
    prompt: str,
    params: SamplingParams,
    count: Callable[[str], int],
) -> Generation:
    """A Generation of what an extension answers in place of the model: a text, or the text so far again and again.

    Text that was shown cannot be taken back: where a later one does not begin with it, `revised` holds the last.
    `count`: how many tokens a text has, 0 where that is unknown. What an extension yields are no tokens.
    """
    stopped = threading.Event()
    generation = Generation(f"extension-{member.name}", prompt, params, lambda id: stopped.set())

    def write() -> None:
        text, sent = "", ""
        steps = iter([given]) if isinstance(given, str) else iter(lambda: pipeline.next_text(member, given), None)
        for text in steps:
            if text.startswith(sent) and len(text) > len(sent):
                generation.feed(text[len(sent) :], 0)
                sent = text
            if stopped.is_set():
                break
        if text != sent:
            generation.revised = text
        failed = pipeline.failure(member)
        if failed and not text:
            generation.fail(PaddockError(failed))
            return
        reason = "cancelled" if stopped.is_set() else "stop"
        generation.finish(Finished(generation.id, reason, generated_tokens=count(text)))

    _start(write, generation)
    return generation


def rewritten(
    pipeline: Pipeline, source: Generation, members: list[HookedExtension], state: dict[str, Any]
) -> Generation:
    """A Generation that follows `source`, with what arrives passed through `stream_modifier` of these members."""
    generation = Generation(source.id, source.prompt, source.params, lambda id: source.cancel())

    def write() -> None:
        kept, shown = [""] * len(members), [""] * len(members)
        tokens = 0

        def push(text: str, final: bool) -> None:
            nonlocal tokens
            for place, member in enumerate(members):
                text = kept[place] + text
                if not text and not final:
                    return
                text, kept[place] = pipeline.stream(member, text, shown[place], final, state)
                if final:
                    text, kept[place] = text + kept[place], ""
                shown[place] += text
            fresh = source.tokens - tokens
            tokens += fresh
            if text:
                generation.feed(text, fresh)

        for text in source.follow(gather=0):
            push(text, False)
        push("", True)
        if (whole := source.revised) is not None:
            for member in members:
                whole = pipeline.stream(member, whole, "", True, state)[0]
            generation.revised = whole
        _end(generation, source)

    _start(write, generation, source)
    return generation


def completed(
    source: Generation, prefix: str, finish: Callable[[str], str], live: bool, strip: bool = False
) -> Generation:
    """A Generation of `prefix` and what `source` brings, whose whole text is what `finish` makes of that.

    With `live`, text passes as it arrives, and `revised` holds the whole where it turns out otherwise. Without, all
    text comes at the end: for readers that can take nothing back. `strip`: spaces before the first word are left out.
    """
    generation = Generation(source.id, source.prompt, source.params, lambda id: source.cancel())

    def write() -> None:
        tokens = 0
        if live and prefix:
            generation.feed(prefix, 0)
        for text in source.follow(gather=0):
            if live:
                fresh, tokens = source.tokens - tokens, source.tokens
                generation.feed(text if generation.length or not strip else text.lstrip(" "), fresh)
        if source.error is not None:
            generation.fail(source.error)
            return
        written = prefix + source.final_text
        written = written.lstrip(" ") if strip else written
        whole = finish(written)
        if not live:
            generation.feed(whole, source.tokens)
        elif whole != generation.text:
            generation.revised = whole
        _end(generation, source)

    _start(write, generation, source)
    return generation


def deferred(prompt: str, params: SamplingParams, make: Callable[[], Generation]) -> Generation:
    """A Generation that begins at once and follows the one that `make` returns, which may take its time."""
    stopped = threading.Event()
    sources: list[Generation] = []

    def cancel(id: str) -> None:
        stopped.set()
        for source in sources:
            source.cancel()

    generation = Generation("extension-hooks", prompt, params, cancel)

    def write() -> None:
        source = make()
        sources.append(source)
        if stopped.is_set():
            source.cancel()
        tokens = 0
        for text in source.follow(gather=0):
            fresh, tokens = source.tokens - tokens, source.tokens
            generation.feed(text, fresh)
        generation.revised = source.revised
        _end(generation, source)

    _start(write, generation)
    return generation


def failed(error: PaddockError, prompt: str = "", params: SamplingParams | None = None) -> Generation:
    """A Generation that ended badly before it had any text."""
    generation = Generation("extension-failed", prompt, params or SamplingParams(), lambda id: None)
    generation.fail(error)
    return generation


def _end(generation: Generation, source: Generation) -> None:
    """End as the source did."""
    if source.error is not None:
        generation.fail(source.error)
    elif source.finished is not None:
        generation.finish(source.finished)


def _start(write: Callable[[], None], generation: Generation, source: Generation | None = None) -> None:
    def write_and_stop() -> None:
        try:
            write()
        finally:
            if source is not None and not source.done:
                source.cancel()

    name = f"reply {generation.id}"
    host_thread(name, write_and_stop, "A reply that extensions take part in", generation.fail).start()
